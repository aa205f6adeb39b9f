// Whether the gateway lives, is ready, what it counts, and which version it is.

import { hash, timingSafeEqual } from "node:crypto";
import type { Syncs } from "../actors/sync.js";
import { bearerToken } from "../auth/credentials.js";
import { problemErrors, sourcegraphErrors } from "./errors.js";
import { type HttpRoute, header, send } from "./http.js";
import { syncAll } from "./sync-all.js";

export interface DiagnosticsParts {
  readonly version: string;
  ready(): boolean;
  /** What is missing, when not ready. */
  missing(): readonly string[];
  /** Bearer of `/-/healthz` and `/-/actor/…`; undefined: these routes do not exist. */
  readonly secret: string | undefined;
  readonly syncs: Pick<Syncs, "sync">;
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
    anyMethod(versionPath, async ({ res }) => send(res, 200, plain, parts.version)),
    get("/livez", async ({ res }) => send(res, 200, plain, "ok\n")),
    get("/readyz", async ({ res }) => {
      if (parts.ready()) send(res, 200, plain, "ok\n");
      else send(res, 503, { ...plain, "retry-after": "5" }, "not ready\n");
    }),
    ...(parts.secret === undefined ? [] : secretRoutes(parts, parts.secret)),
    get("/metrics", async ({ res }) => {
      send(res, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, await parts.metrics());
    }),
  ];
}

/** The existing gateway's diagnostics took any method. */
function anyMethod(path: string, handle: HttpRoute["handle"]): HttpRoute {
  return { method: "*", path, errors: sourcegraphErrors, handle };
}

/** Those of the existing gateway that ask for the secret, with its answers (wire.md 1.10). */
function secretRoutes(parts: DiagnosticsParts, secret: string): HttpRoute[] {
  const guarded = (path: string, handle: HttpRoute["handle"]): HttpRoute =>
    anyMethod(path, async (call) => {
      const shown = bearerToken(header(call.req, "authorization"));
      if (shown === undefined || !sameSecret(shown, secret)) return send(call.res, 401, {}, "");
      await handle(call);
    });
  return [
    guarded("/-/healthz", async ({ res }) => {
      if (parts.ready()) send(res, 200, plain, "healthz: ok");
      else send(res, 500, plain, `healthz: ${parts.missing().join(", ")}`);
    }),
    guarded("/-/actor/sync-all-sources", syncAll(parts.syncs)),
  ];
}

/** Compared in a time that does not tell how much of it is right. */
function sameSecret(shown: string, secret: string): boolean {
  const digest = (text: string): Buffer => hash("sha256", text, "buffer");
  return timingSafeEqual(digest(shown), digest(secret));
}
