// Builds the gateway: its parts, in the order of the route a request takes.

import type { StaticActor } from "./actors/sources/static.js";
import { createAuthenticator } from "./auth/authenticate.js";
import type { Config } from "./config.js";
import { createActors } from "./gateway-actors.js";
import { createAdministration } from "./gateway-admin.js";
import { createAlerts } from "./gateway-alerts.js";
import { attributionSearch } from "./gateway-back-ends.js";
import { openData } from "./gateway-data.js";
import { callerRoutes } from "./gateway-http.js";
import { reachable, startListener } from "./gateway-listen.js";
import { createRoute, type RouteParts } from "./gateway-route.js";
import type { Audience, RpcParts } from "./gateway-rpc.js";
import { createTraces } from "./gateway-traces.js";
import { diagnosticsRoutes, versionPath } from "./http/diagnostics.js";
import type { HttpRoute } from "./http/http.js";
import { systemClock } from "./lib/clock.js";
import type { Log } from "./lib/log.js";
import { createReadiness } from "./lib/readiness.js";
import { providers } from "./providers/index.js";
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

/**
 * Starts a gateway. Rejects when it cannot listen (`CannotListenError`), has no upstream, or cannot use its data directory; then
 * nothing of it goes on.
 */
export async function startGateway(config: Config, parts: GatewayParts): Promise<Gateway> {
  const ends: End[] = [];
  try {
    return await start(config, parts, ends);
  } catch (error) {
    for (const end of ends.toReversed()) await endedOrTold(end, parts.log);
    throw error;
  }
}

/** Ends a part of the gateway. */
type End = () => Promise<unknown> | undefined;

/** What goes wrong here must not hide why the gateway could not start. */
async function endedOrTold(end: End, log: Log): Promise<void> {
  try {
    await end();
  } catch (error) {
    log.warn({ err: error }, "a part of what could not start did not end in order");
  }
}

/** `ends` gets how each part that was started is ended. */
async function start(config: Config, parts: GatewayParts, ends: End[]): Promise<Gateway> {
  const { log, version, clock = systemClock } = parts;
  const readiness = createReadiness();
  const metrics = createMetrics({
    version,
    environment: config.environment,
    providers: (parts.providers ?? providers).map(({ kind }) => kind),
  });

  const traces = await createTraces(config, { log, metrics, version });
  ends.push(() => traces?.close());
  const database = await openData(config, log);
  ends.push(() => database?.close());
  // The route tells of requests before those who listen exist; no request comes before they do.
  const onRefused: RouteParts["onRefused"] = (actor) => sources.refused(actor);
  const watch: RouteParts["watch"] = {
    admitted: (...told) => administration.watch.admitted(...told),
    ended: (...told) => administration.watch.ended(...told),
    denied: (...told) => administration.watch.denied(...told),
  };
  const route = await createRoute(config, { ...parts, metrics, traces, readiness, database, onRefused, watch });
  ends.push(route.close);
  const ofActors = { log, clock, metrics, traces, readiness, database, version, quota: route.quota };
  const actors = await createActors(config, ofActors);
  ends.push(actors.close);
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
  ends.push(administration.close);
  const authenticator = createAuthenticator({ sources });
  const attribution = attributionSearch(config, { version });
  ends.push(attribution.close);
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
  const listen = (routes: readonly HttpRoute[], audience: Audience, at: "PORT" | "CODY_GATEWAY_ADMIN_PORT") =>
    startListener({ routes, rpc: { ...edge, onFailed }, audience, accounting, log, metrics, traces }, config, at);

  const routes = [...callerRoutes(edge, targets, config), ...open];
  const main = await listen(routes, apart ? "callers" : "both", "PORT");
  ends.push(main.listener.close);
  main.listener.hardStop.addEventListener("abort", route.abort, { once: true });
  const admin = apart ? await listen(operators, "operators", "CODY_GATEWAY_ADMIN_PORT") : undefined;
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
