// The middle of the composition: everything that a request passes between authentication and its event.

import type { Config } from "./config.js";
import { type Accounting, type AccountingParts, createAccounting } from "./gateway-accounting.js";
import { userAgentOf } from "./gateway-back-ends.js";
import { createChecks } from "./gateway-checks.js";
import { createCatalogues } from "./gateway-models.js";
import { createOutbox, createSink } from "./gateway-outbox.js";
import { createStore } from "./gateway-store.js";
import type { Traces } from "./gateway-traces.js";
import { callLimits, replaceKeys, upstreamObserver, upstreamTargets } from "./gateway-upstreams.js";
import { type Clock, systemClock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import type { Readiness } from "./lib/readiness.js";
import { createTokenizer, type Tokenizer } from "./models/tokenizer.js";
import { providers } from "./providers/index.js";
import type { Provider } from "./providers/provider.js";
import { createQuota, type Quota } from "./quota/quota.js";
import type { RelayParts } from "./relay.js";
import type { FlaggedPrompts } from "./relay-check.js";
import { createModelDirectory, type ModelDirectory } from "./relay-models.js";
import type { Metrics } from "./telemetry/metrics.js";
import { createBatches } from "./upstream/batches.js";
import type { UpstreamTarget } from "./upstream/upstream.js";
import { createUpstreams } from "./upstream/upstreams.js";
import { abandonedEvent, type EventStart } from "./usage/event.js";
import { createLedger, type LedgerOptions, sinkKey } from "./usage/ledger.js";
import type { Sink } from "./usage/sink.js";

/** The route and what hangs on it. */
export interface RouteOfRequests {
  readonly relay: RelayParts & { readonly tokenizer: Tokenizer };
  readonly quota: Quota;
  /** Undefined: no prompt is kept. */
  readonly flagged: FlaggedPrompts | undefined;
  readonly models: ModelDirectory;
  readonly targets: readonly UpstreamTarget[];
  readonly accounting: Accounting;
  /** Takes over the keys of a configuration that was read again; the names of the upstreams that have others now. */
  setKeys(upstreams: Config["upstreams"]): readonly string[];
  /** Fails what is under way. */
  abort(): void;
  /** Ends, delivering the events that wait. */
  close(): Promise<void>;
}

export interface RouteParts extends Pick<AccountingParts, "onRefused" | "watch"> {
  /** Undefined: nothing is traced. */
  readonly traces: Traces | undefined;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  /** That of the data directory, where there is one. */
  readonly database: Database | undefined;
  readonly version: string;
  /** In place of those that come with the gateway. */
  readonly providers?: readonly Provider[];
  /** In place of the configured sinks. */
  readonly sinks?: readonly Sink[];
  readonly ledger?: Partial<LedgerOptions>;
  readonly clock?: Clock;
  /** In place of one of its own, which takes a hundred megabytes: gateways of one process can share it. It is not closed. */
  readonly tokenizer?: Tokenizer;
}

/** How long the end may wait for the quota store, and for events to be delivered. */
const settleMs = 2_000;
const flushMs = 5_000;

/** Rejects with `ConfigError` when an upstream is of no kind that there is, and as `createStore` does. */
export async function createRoute(config: Config, parts: RouteParts): Promise<RouteOfRequests> {
  const { log, metrics, traces, clock = systemClock } = parts;
  const targets = upstreamTargets(config, parts.providers ?? providers);
  const userAgent = userAgentOf(config, parts);
  const { tokenizer = createTokenizer() } = parts;
  const sending = createUpstreams({ targets, observer: upstreamObserver({ log, metrics }) }, { userAgent });
  const upstreams = createBatches({
    upstreams: traces?.upstreams(sending, targets) ?? sending,
    tokenizer,
    limitsOf: callLimits(targets),
  });
  metrics.gaugeOf("upstreamModelsUnavailable", upstreams.unavailableModels);
  metrics.gaugeOf("upstreamKeysResting", upstreams.restingKeys);
  const catalogues = createCatalogues(config, targets);
  const ofSinks = { clock, userAgent };
  const ends =
    parts.sinks ?? (await Promise.all(config.eventSinks.map((sink) => createSink(sink, config.events, ofSinks))));
  const sinks = traces ? ends.map(traces.sink) : ends;
  const store = await createStore(config, { ...parts, clock, outbox: sinks.length > 0 });
  const outbox = await createOutbox(config, parts, sinks.map(sinkKey));
  const ledger = createLedger({ outbox, sinks, log, count: metrics.eventsHandled }, parts.ledger);
  metrics.gauge("ledgerBacklog", ledger.backlog);
  const counting = createQuota(
    {
      store,
      clock,
      onDecision: ({ feature, kind, reason }) => metrics.quotaDecided(feature, kind, reason),
      onAbandoned({ intent, charged }) {
        if (!store.tellsOutbox) ledger.emit(abandonedEvent(JSON.parse(intent) as EventStart, charged));
      },
      onLost: (requestId) => log.warn({ requestId }, "hold was lost before it was settled"),
    },
    { storeFailure: config.quotaStoreFailure, renewMs: config.quotaLeaseMs / 3, sweepMs: config.quotaLeaseMs / 3 },
  );
  // In memory it takes no time to speak of.
  const quota = config.redisEndpoint === undefined ? counting : (traces?.quota(counting) ?? counting);
  const checks = await createChecks(config, { ...parts, clock, tokenizer });
  const accounting = createAccounting({ ...parts, ledger, environment: config.environment });

  const full = config.events.whenFull === "deny" ? ledger.full : () => false;

  return {
    relay: {
      tokenizer,
      ...catalogues,
      upstreams,
      quota,
      environment: config.environment,
      checks: checks.checks,
      full,
      began: accounting.began,
      admitted: accounting.admitted,
      emit: accounting.emit,
    },
    quota,
    flagged: checks.flagged,
    models: createModelDirectory({ ...catalogues, upstreams, upstreamNames: targets.map(({ name }) => name) }),
    targets,
    accounting,
    setKeys: (configured) => replaceKeys(upstreams, targets, configured),
    abort: () => void upstreams.close(),
    async close() {
      await Promise.all([parts.tokenizer ? undefined : tokenizer.close(), checks.close()]);
      await upstreams.close();
      const untold = await quota.close(settleMs);
      if (untold > 0) log.error({ untold }, "requests could not be settled: the store is away");
      await store.close();
      accounting.close();
      await ledger.flush(flushMs);
      await ledger.close();
    },
  };
}
