// Builds the gateway: its parts, in the order of the route a request takes.

import type { StaticActor } from "./actors/sources/static.js";
import { createAuthenticator } from "./auth/authenticate.js";
import type { Config } from "./config.js";
import type { Accounting } from "./gateway-accounting.js";
import { createActors } from "./gateway-actors.js";
import { createAdministration } from "./gateway-admin.js";
import { createAlerts } from "./gateway-alerts.js";
import { attributionSearch } from "./gateway-back-ends.js";
import { openData } from "./gateway-data.js";
import { callerRoutes } from "./gateway-http.js";
import { createRoute, type RouteParts } from "./gateway-route.js";
import { type Audience, isForCallers, type RpcParts, rpcInterceptors, rpcRoutes } from "./gateway-rpc.js";
import { createTraces } from "./gateway-traces.js";
import { diagnosticsRoutes, versionPath } from "./http/diagnostics.js";
import type { HttpRoute } from "./http/http.js";
import { createRouter } from "./http/router.js";
import { systemClock } from "./lib/clock.js";
import { createReadiness } from "./lib/readiness.js";
import { providers } from "./providers/index.js";
import { createCors } from "./server/cors.js";
import { createListener } from "./server/listener.js";
import { createRpcHandler } from "./server/rpc.js";
import { mergeMetrics } from "./telemetry/merge.js";
import { createMetrics } from "./telemetry/metrics.js";

/** A gateway that is serving. */
export interface Gateway {
  /** Where it is reached: `http://127.0.0.1:9992`. */
  readonly url: string;
  readonly port: number;
  /** Where diagnostics are served: `url`, unless they have a port of their own. */
  readonly adminUrl: string;
  /** Puts these actors in place of those of the configuration file. */
  setStaticActors(actors: readonly StaticActor[]): void;
  /** Takes over the keys of a configuration that was read again; the names of the upstreams that have others now. */
  setUpstreamKeys(upstreams: Config["upstreams"]): readonly string[];
  /** Ends in order: refuses new work, lets what is under way finish in its time, delivers events. A second call shortens. */
  drain(options?: { readonly delayMs?: number; readonly timeoutMs?: number }): Promise<"clean" | "cut">;
}

export interface GatewayParts
  extends Omit<RouteParts, "metrics" | "readiness" | "database" | "onRefused" | "watch" | "traces"> {
  /** Where several processes serve: how to ask all of them for their metrics, given how to render this one's. */
  readonly gather?: (own: () => Promise<string>) => () => Promise<readonly string[]>;
  /** By what part of itself the process lets its heap grow before it is collected; absent: as V8 sees fit. */
  readonly heapGrowth?: () => number | undefined;
}

/** Starts a gateway. Rejects when it cannot listen, has no upstream, or cannot use its data directory. */
export async function startGateway(config: Config, parts: GatewayParts): Promise<Gateway> {
  const { log, version, clock = systemClock } = parts;
  const readiness = createReadiness();
  const metrics = createMetrics({
    version,
    environment: config.environment,
    providers: (parts.providers ?? providers).map(({ kind }) => kind),
  });

  const traces = await createTraces(config, { log, metrics, version });
  const database = await openData(config, log);
  // The route tells of requests before those who listen exist; no request comes before they do.
  const onRefused: RouteParts["onRefused"] = (actor) => sources.refused(actor);
  const watch: RouteParts["watch"] = {
    admitted: (...told) => administration.watch.admitted(...told),
    ended: (...told) => administration.watch.ended(...told),
  };
  const route = await createRoute(config, { ...parts, metrics, traces, readiness, database, onRefused, watch });
  const ofActors = { log, clock, metrics, traces, readiness, database, version, quota: route.quota };
  const actors = await createActors(config, ofActors);
  const { sources, syncs } = actors;
  const notifier = await createAlerts(config, { log, clock, database, metrics, version });
  const administration = await createAdministration(config, {
    log,
    clock,
    version,
    actors,
    database,
    route,
    notifier,
  });
  const authenticator = createAuthenticator({ sources });
  const attribution = attributionSearch(config, { version });
  const { accounting, targets, ...edge } = { ...route, authenticator, sources, readiness, administration, attribution };

  const gather = parts.gather?.(metrics.render);
  const diagnostics = diagnosticsRoutes({
    version,
    ready: readiness.ready,
    missing: readiness.missing,
    secret: config.diagnosticsSecret,
    syncs,
    metrics: gather ? async () => mergeMetrics(await gather()) : metrics.render,
  });
  const operators = [...diagnostics, ...administration.routes];
  const apart = config.adminPort !== undefined;
  const open = apart ? operators.filter(({ path }) => path === versionPath) : operators;
  const onFailed: RpcParts["onFailed"] = (error, call) => accounting.failed("rpc", call, error);
  const listen = (routes: readonly HttpRoute[], audience: Audience, port: number) =>
    startListener({ routes, rpc: { ...edge, onFailed }, audience, accounting, log, metrics, traces }, config, port);

  const routes = [...callerRoutes(edge, targets, config), ...open];
  const main = await listen(routes, apart ? "callers" : "both", config.port);
  main.listener.hardStop.addEventListener("abort", route.abort, { once: true });
  const admin = apart ? await listen(operators, "operators", config.adminPort ?? 0) : undefined;
  metrics.gauge("heapGrowth", () => parts.heapGrowth?.());
  metrics.gauge("connections", () => main.listener.connections);
  const urlOf = (port: number): string => `${config.tls ? "https" : "http"}://${reachable(config.host)}:${port}`;

  return {
    url: urlOf(main.port),
    port: main.port,
    adminUrl: urlOf(admin?.port ?? main.port),
    setStaticActors: actors.setStaticActors,
    setUpstreamKeys: route.setKeys,
    async drain({ delayMs = config.drain.delayMs, timeoutMs = config.drain.timeoutMs } = {}) {
      readiness.set("serving", false);
      const outcome = await main.listener.drain({ delayMs, timeoutMs });
      await administration.close();
      await attribution.close();
      await actors.close();
      await route.close();
      await admin?.listener.close();
      await database?.close();
      await traces?.close();
      return outcome;
    },
  };
}

/** One port with these HTTP routes, and the RPCs for these people. */
async function startListener(
  parts: Pick<RouteParts, "log" | "metrics" | "traces"> & {
    readonly routes: readonly HttpRoute[];
    readonly rpc: RpcParts;
    readonly audience: Audience;
    readonly accounting: Pick<Accounting, "failed">;
  },
  config: Config,
  port: number,
) {
  const { routes, rpc, audience, accounting, log, metrics, traces } = parts;
  const router = createRouter(routes, (failure, error) => accounting.failed("http", failure, error));
  const shutdown = new AbortController();
  const handler = createRpcHandler(
    { routes: rpcRoutes(rpc, audience), interceptors: rpcInterceptors(rpc), shutdownSignal: shutdown.signal },
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
  return { listener, port: await listener.listen(port, config.host) };
}

/** An address that a client on this machine can use. */
function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
