// Builds the gateway: its parts, in the order of the route a request takes.

import { randomBytes } from "node:crypto";
import { createAnonymousSource } from "./actors/sources/anonymous.js";
import { createStaticSource, type StaticActor } from "./actors/sources/static.js";
import { createSources } from "./actors/sources.js";
import { createTokenHasher } from "./actors/token.js";
import { createAuthenticator } from "./auth/authenticate.js";
import type { Config, EventSinkConfig } from "./config.js";
import { GatewayError } from "./errors.js";
import { callerRoutes } from "./gateway-http.js";
import { type RpcParts, rpcInterceptors, rpcRoutes } from "./gateway-rpc.js";
import { diagnosticsRoutes, versionPath } from "./http/diagnostics.js";
import { createRouter, type Router } from "./http/router.js";
import { type Clock, systemClock } from "./lib/clock.js";
import { JsonSyntaxError } from "./lib/json.js";
import type { Log } from "./lib/log.js";
import { createReadiness } from "./lib/readiness.js";
import { createCatalogue } from "./models/catalogue.js";
import { providers } from "./providers/index.js";
import { createMemoryQuotaStore } from "./quota/memory-store.js";
import { createQuota } from "./quota/quota.js";
import { abandonedEvent, type RelayParts } from "./relay.js";
import { createModelDirectory } from "./relay-models.js";
import type { ServerObserver } from "./server/call.js";
import { createListener, type Listener } from "./server/listener.js";
import { createRpcHandler } from "./server/rpc.js";
import { createMetrics, type Metrics } from "./telemetry/metrics.js";
import type { UpstreamTarget } from "./upstream/upstream.js";
import { createUpstreams } from "./upstream/upstreams.js";
import { createLedger, type Sink } from "./usage/ledger.js";
import { createFileSink } from "./usage/sinks/file.js";
import { createStdoutSink } from "./usage/sinks/stdout.js";

/** A gateway that is serving. */
export interface Gateway {
  /** Where it is reached: `http://127.0.0.1:9992`. */
  readonly url: string;
  readonly port: number;
  /** Where diagnostics are served: `url`, unless they have a port of their own. */
  readonly adminUrl: string;
  /** Puts these actors in place of those of the configuration file. */
  setStaticActors(actors: readonly StaticActor[]): void;
  /** Ends in order: refuses new work, lets what is under way finish in its time, delivers events. A second call shortens. */
  drain(options?: { readonly delayMs?: number; readonly timeoutMs?: number }): Promise<"clean" | "cut">;
}

export interface GatewayParts {
  readonly log: Log;
  readonly version: string;
  /** In place of the configured sinks. */
  readonly sinks?: readonly Sink[];
  readonly clock?: Clock;
}

/** Starts a gateway. Rejects when it cannot listen. */
export async function startGateway(config: Config, parts: GatewayParts): Promise<Gateway> {
  const { log, version, clock = systemClock } = parts;
  const readiness = createReadiness();
  const metrics = createMetrics({ version, providers: providers.map(({ kind }) => kind) });

  const hasher = createTokenHasher(config.tokenPepper ?? randomBytes(32).toString("base64url"));
  const staticSource = createStaticSource({ hasher }, config.staticActors);
  const anonymous = config.allowAnonymous ? [createAnonymousSource({ clock }, { burst: config.burst })] : [];
  const authenticator = createAuthenticator({ sources: createSources({ sources: [staticSource, ...anonymous] }) });

  const targets = upstreamTargets(config);
  const upstreams = createUpstreams({ targets }, { userAgent: `Cody-Gateway/${version}` });
  const catalogue = createCatalogue(
    targets.map(({ name, provider, models }) => ({ name, kind: provider.kind, models })),
    config.models,
  );
  const ledger = createLedger({
    sinks: parts.sinks ?? config.eventSinks.map(createSink),
    log,
    count: metrics.eventsHandled,
  });
  metrics.gauge("ledgerBacklog", ledger.backlog);
  const quota = createQuota(
    {
      store: createMemoryQuotaStore({ clock }),
      clock,
      onDecision: ({ feature, kind, reason }) => metrics.quotaDecided(feature, kind, reason),
      onAbandoned: (hold) => ledger.emit(abandonedEvent(hold)),
      onLost: (requestId) => log.warn({ requestId }, "hold was lost before it was settled"),
    },
    { storeFailure: config.quotaStoreFailure },
  );

  const told = new WeakSet<object>();
  const relay: RelayParts = {
    catalogue,
    upstreams,
    quota,
    emit(event, failure) {
      if (typeof failure === "object" && failure !== null) told.add(failure);
      metrics.requestObserved(event);
      ledger.emit(event);
      const fields = isExpected(failure) ? event : { ...event, err: failure };
      if (event.reason === "INTERNAL") log.error(fields, "request failed");
      else log.info(fields, "request");
    },
  };
  const models = createModelDirectory({ catalogue, upstreams, upstreamNames: targets.map(({ name }) => name) });
  const caller = { relay, quota, authenticator, models };
  const failed = (fields: { readonly error?: unknown }): void => {
    const { error, ...rest } = fields;
    if (typeof error === "object" && error !== null && told.has(error)) return;
    if (isExpected(error))
      log.debug({ ...rest, reason: (error as GatewayError | undefined)?.reason }, "request refused");
    else log.error({ ...rest, err: error }, "request failed");
  };
  const callers = callerRoutes(caller, targets, config);
  const operators = diagnosticsRoutes({ version, ready: readiness.ready, metrics: metrics.render });
  const apart = config.adminPort !== undefined;
  const open = apart ? operators.filter(({ path }) => path === versionPath) : operators;

  const rpc = { ...caller, readiness, onFailed: (error: unknown, call: object) => failed({ ...call, error }) };
  const main = mainListener(config, { router: createRouter([...callers, ...open], failed), rpc, log, metrics });
  main.hardStop.addEventListener("abort", () => void upstreams.close(), { once: true });
  const port = await main.listen(config.port, config.host);

  const admin = apart ? adminListener(config, { router: createRouter(operators, failed), log }) : undefined;
  const adminPort = (await admin?.listen(config.adminPort ?? 0, config.host)) ?? port;
  const scheme = config.tls ? "https" : "http";
  const urlOf = (at: number): string => `${scheme}://${reachable(config.host)}:${at}`;

  return {
    url: urlOf(port),
    port,
    adminUrl: urlOf(adminPort),
    setStaticActors: staticSource.update,
    async drain({ delayMs = config.drain.delayMs, timeoutMs = config.drain.timeoutMs } = {}) {
      readiness.set("draining", false);
      const outcome = await main.drain({ delayMs, timeoutMs });
      quota.close();
      await upstreams.close();
      await ledger.flush(5_000);
      await ledger.close();
      await admin?.close();
      return outcome;
    },
  };
}

/** Failures that are the gateway's own decisions need no stack. */
function isExpected(failure: unknown): boolean {
  return failure === undefined || failure instanceof GatewayError || failure instanceof JsonSyntaxError;
}

/** The upstreams that this build can speak to. The configuration has said of the others that they have no effect. */
function upstreamTargets(config: Config): (UpstreamTarget & { readonly models: readonly string[] | undefined })[] {
  return config.upstreams.flatMap((upstream) => {
    const provider = providers.find(({ kind }) => kind === upstream.kind);
    return provider ? [{ ...upstream, provider, timeouts: { ...config.upstreamTimeouts, ...upstream.timeouts } }] : [];
  });
}

function createSink(sink: EventSinkConfig): Sink {
  return sink.kind === "file" ? createFileSink(sink.path) : createStdoutSink();
}

function mainListener(config: Config, parts: { router: Router; rpc: RpcParts; log: Log; metrics: Metrics }): Listener {
  const { router, rpc, log, metrics } = parts;
  const shutdown = new AbortController();
  const handler = createRpcHandler(
    { routes: rpcRoutes(rpc), interceptors: rpcInterceptors(rpc), shutdownSignal: shutdown.signal },
    { maxMessageBytes: config.maxMessageBytes },
  );
  const observer: ServerObserver = {
    refused: (reason) => metrics.requestRefused("server", reason),
    cut: (reason) => log.debug({ reason }, "connection cut"),
    failed() {},
  };
  const listener = createListener({ ...handler, http: router.handle, log, observer }, { tls: config.tls });
  metrics.gauge("connections", () => listener.connections);
  listener.hardStop.addEventListener("abort", () => shutdown.abort(listener.hardStop.reason), { once: true });
  return listener;
}

function adminListener(config: Config, parts: { router: Router; log: Log }): Listener {
  const noRpc = { rpc: () => {}, isRpc: () => false };
  return createListener({ ...noRpc, http: parts.router.handle, log: parts.log }, { tls: config.tls });
}

/** An address that a client on this machine can use. */
function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
