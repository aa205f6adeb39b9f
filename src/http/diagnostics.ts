// Whether the gateway lives, is ready, what it counts, and which version it is.

import { problemErrors } from "./errors.js";
import { type HttpRoute, send } from "./http.js";

export interface DiagnosticsParts {
  readonly version: string;
  ready(): boolean;
  /** Metrics in the Prometheus text format. */
  metrics(): Promise<string>;
}

/** Where everybody may ask for the version: extensions in the field use it to measure latency. */
export const versionPath = "/-/__version";

const plain = { "content-type": "text/plain; charset=utf-8" };

/** `/livez` never depends on others; `/readyz` turns 503 when draining or when a store that is needed is away. */
export function diagnosticsRoutes(parts: DiagnosticsParts): HttpRoute[] {
  const get = (path: string, handle: HttpRoute["handle"]): HttpRoute => ({
    method: "GET",
    path,
    errors: problemErrors,
    handle,
  });
  return [
    get(versionPath, async ({ res }) => send(res, 200, plain, parts.version)),
    get("/livez", async ({ res }) => send(res, 200, plain, "ok\n")),
    get("/readyz", async ({ res }) => {
      if (parts.ready()) send(res, 200, plain, "ok\n");
      else send(res, 503, { ...plain, "retry-after": "5" }, "not ready\n");
    }),
    get("/metrics", async ({ res }) => {
      send(res, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, await parts.metrics());
    }),
  ];
}
