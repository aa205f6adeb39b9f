// The gateway's ports: the HTTP routes and RPCs that are served there, and what is said of one that cannot be had.

import type { Config } from "./config.js";
import type { Accounting } from "./gateway-accounting.js";
import type { RouteParts } from "./gateway-route.js";
import { type Audience, isForCallers, type RpcParts, rpcInterceptors, rpcRoutes, turnOfCall } from "./gateway-rpc.js";
import type { HttpRoute } from "./http/http.js";
import { createRouter } from "./http/router.js";
import { createCors } from "./server/cors.js";
import { createListener } from "./server/listener.js";
import { createRpcHandler } from "./server/rpc.js";

/** The setting that says which port. */
export type PortSetting = "PORT" | "CODY_GATEWAY_ADMIN_PORT";

/** A port that cannot be had. The message says what to do about it. */
export class CannotListenError extends Error {
  override readonly name = "CannotListenError";
  /** Of the operating system: `EADDRINUSE`. */
  readonly code: unknown;

  constructor(at: { readonly host: string; readonly port: number; readonly setting: PortSetting }, cause: unknown) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    super(whyNot(at, code) ?? `cannot listen on ${placeOf(at)}: ${String(cause)}`, { cause });
    this.code = code;
  }
}

function whyNot(at: { host: string; port: number; setting: PortSetting }, code: unknown): string | undefined {
  const { host, setting } = at;
  if (code === "EADDRINUSE")
    return `${placeOf(at)} is taken by another process: stop it, or set ${setting} to another port`;
  if (code === "EACCES") return `not allowed to listen on ${placeOf(at)}: set ${setting} to a port above 1023`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN")
    return `${host} is no address of this machine: set CODY_GATEWAY_HOST to one that is`;
  return undefined;
}

function placeOf({ host, port }: { host: string; port: number }): string {
  return `${inUrl(host)}:${port}`;
}

/** One port with these HTTP routes, and the RPCs for these people. Rejects with `CannotListenError`. */
export async function startListener(
  parts: Pick<RouteParts, "log" | "metrics" | "traces"> & {
    readonly routes: readonly HttpRoute[];
    readonly rpc: RpcParts;
    readonly audience: Audience;
    readonly accounting: Pick<Accounting, "failed">;
  },
  config: Config,
  setting: PortSetting,
) {
  const { routes, rpc, audience, accounting, log, metrics, traces } = parts;
  const router = createRouter(routes, (failure, error) => accounting.failed("http", failure, error));
  const shutdown = new AbortController();
  const handler = createRpcHandler(
    {
      routes: rpcRoutes(rpc, audience),
      interceptors: rpcInterceptors(rpc),
      turnOf: turnOfCall(rpc),
      shutdownSignal: shutdown.signal,
    },
    { maxMessageBytes: config.maxMessageBytes },
  );
  const surfaceOf = (path: string) => (isForCallers(path) && handler.isRpc(path) ? "rpc" : router.edgeOf(path));
  const observer = {
    ...metrics.server,
    ended: (path: string, status: number | undefined) => metrics.responded(surfaceOf(path) ?? "none", status),
  };
  const { corsOrigins: origins } = config;
  const covers = (path: string): boolean => ["rpc", "sdk"].includes(surfaceOf(path) ?? "");
  const cors = origins.length > 0 && audience !== "operators" ? createCors({ origins, covers }) : undefined;
  const listener = createListener(
    { ...handler, http: router.handle, log, observer, tracer: traces?.tracer, cors },
    { tls: config.tls, limits: { writeStallMs: config.writeStallMs } },
  );
  listener.hardStop.addEventListener("abort", () => shutdown.abort(listener.hardStop.reason), { once: true });
  const { host } = config;
  const port = (setting === "PORT" ? config.port : config.adminPort) ?? 0;
  try {
    return { listener, port: await listener.listen(port, host) };
  } catch (error) {
    await listener.close();
    throw new CannotListenError({ host, port, setting }, error);
  }
}

/** An address that a client on this machine can use. */
export function reachable(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : inUrl(host);
}

function inUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
