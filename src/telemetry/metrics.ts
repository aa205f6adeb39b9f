import type { CallTimer } from "../lib/timed.js";
import { createTupleMap } from "../lib/tuple-map.js";
import { createCallTimer } from "./call-timers.js";
import { heapText } from "./heap-metrics.js";
import { names } from "./names.js";
import { processMetrics } from "./process-metrics.js";
import { createResponseCounters } from "./response-counters.js";
import { type Counter, createCounter, createHistogram, gaugeText, type Histogram } from "./series.js";
import { createTokenCounters, type ObservedUsage } from "./token-counters.js";

/** What the gateway counts, for /metrics. Label values are closed sets: what is not known counts as `other`. */
export interface Metrics {
  /** Counts a request that ended, by its usage event. */
  requestObserved(event: ObservedRequest): void;
  /** Counts a request that was refused before there was an actor or a feature to account it to. */
  requestRefused(surface: string, reason: string): void;
  /** Counts an HTTP answer with its status; undefined: the request ended without one. `none` is a surface, too. */
  responded(surface: string, status: number | undefined): void;
  /** A request began (1) or ended (-1). */
  inFlight(surface: string, feature: string, change: 1 | -1): void;
  /** Counts a request to an upstream that ended. */
  upstreamTried(upstream: string, outcome: string): void;
  upstreamKeyRefused(upstream: string): void;
  /** Times calls of one operation of a store. */
  storeTimer(store: "quota" | "actors", operation: string): CallTimer;
  quotaDecided(feature: string, decision: "admitted" | "refused" | "unavailable" | "blind", reason?: string): void;
  /** Counts a look-up of an actor at its source. */
  sourceAsked(source: string, outcome: "found" | "nobody" | "failed" | "limited"): void;
  /** Counts a sync that this process did. */
  syncEnded(source: string, outcome: "succeeded" | "held" | "failed" | "canceled"): void;
  eventsHandled(sink: string, result: "delivered" | "retried" | "parked" | "lost", count: number): void;
  /** Counts a refused request that has no usage event of its own: one event stands for several. */
  eventJoined(reason: string): void;
  /** Counts what became of an alert. */
  alertHandled(channel: string, result: "sent" | "retried" | "given_up" | "lost"): void;
  /** Counts what became of spans. */
  spansHandled(result: "exported" | "dropped", count: number): void;
  /** What the server does on its own. */
  readonly server: {
    refused(reason: string): void;
    cut(reason: string): void;
    /** A handler threw. */
    failed(): void;
  };
  /** Reads a number whenever metrics are asked for; undefined: there is none. */
  gauge(name: PlainGauge, read: () => number | undefined): void;
  /** The same for one number of each source, or each upstream. */
  gaugeOf(name: GaugeOfEach, read: () => Iterable<readonly [label: string, value: number]>): void;
  /** Everything in the Prometheus text format, version 0.0.4. */
  render(): Promise<string>;
}

type PlainGauge = "heapGrowth" | "ledgerBacklog" | "connections" | "quotaStoreUp" | "actorStoreUp";
type GaugeOfEach =
  | "actorsKnown"
  | "sourceUp"
  | "syncAge"
  | "syncHeld"
  | "upstreamKeysResting"
  | "upstreamModelsUnavailable";

/** A usage event, as far as it is counted. */
export interface ObservedRequest {
  readonly edge: string;
  readonly feature: string;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  readonly outcome: string;
  readonly reason?: string | undefined;
  readonly usage: ObservedUsage;
  readonly durationMs: number;
  readonly upstreamMs: number;
  readonly firstByteMs?: number | undefined;
}

const surfaces = new Set(["sourcegraph", "sdk", "rpc"]);
const features = new Set(["chat_completions", "code_completions", "embeddings"]);
const outcomes = new Set(["completed", "failed", "refused", "client_gone", "abandoned"]);

/** Combinations of labels whose counters are at hand. */
const maxBundles = 2_000;

/** `providers` are the kinds there are, `environment` is the deployment's name. */
export function createMetrics(options: {
  readonly version: string;
  readonly environment: string;
  readonly providers: readonly string[];
}): Metrics {
  // It watches from now on, and the first who reads it does not wait for it to be made.
  const ofProcess = processMetrics();
  const providers = new Set(options.providers);
  const requests = createCounter(names.requests);
  const responses = createResponseCounters(surfaces);
  const duration = createHistogram(names.duration);
  const overhead = createHistogram(names.overhead);
  const firstByte = createHistogram(names.firstByte);
  const upstream = createHistogram(names.upstream);
  const tries = createCounter(names.upstreamTries);
  const keyRefusals = createCounter(names.upstreamKeyRefusals);
  const inFlight = createCounter(names.inFlight, "gauge");
  const decisions = createCounter(names.quotaDecisions);
  const stores = { quota: createHistogram(names.quotaStoreCalls), actors: createHistogram(names.actorStoreCalls) };
  const events = createCounter(names.events);
  const joined = createCounter(names.eventsJoined);
  const alerts = createCounter(names.alerts);
  const spans = createCounter(names.spans);
  const refusals = createCounter(names.refusals);
  const cuts = createCounter(names.cuts);
  const handlerFailures = createCounter(names.handlerFailures);
  const info = createCounter(names.info, "gauge");
  info.at(options.version, options.environment).add(1);
  const tokens = createTokenCounters();
  const lookups = createCounter(names.sourceLookups);
  const syncs = createCounter(names.sourceSyncs);
  const gauges = new Map<PlainGauge | GaugeOfEach, () => Iterable<readonly [label: string, value: number]>>();

  const bundleOf = (event: ObservedRequest): Bundle => {
    const surface = known(surfaces, event.edge);
    const feature = known(features, event.feature);
    const provider = event.provider === undefined ? "none" : known(providers, event.provider);
    const outcome = known(outcomes, event.outcome);
    return {
      requests: requests.at(surface, feature, provider, outcome, word(event.reason)),
      duration: duration.at(surface, feature, provider),
      overhead: overhead.at(surface, feature, provider),
      firstByte: firstByte.at(surface, feature, provider),
      upstream: upstream.at(provider, feature, outcome),
      provider,
    };
  };
  const bundles = createTupleMap<Bundle>();
  const bundleAt = (event: ObservedRequest): Bundle => {
    const { edge, feature, provider = "", outcome, reason = "" } = event;
    const key = [edge, feature, provider, outcome, reason];
    let bundle = bundles.get(key);
    if (!bundle) {
      bundle = bundleOf(event);
      if (bundles.size() < maxBundles) bundles.set(key, bundle);
    }
    return bundle;
  };

  return {
    requestObserved(event) {
      const bundle = bundleAt(event);
      bundle.requests.add(1);
      bundle.duration.observe(event.durationMs / 1_000);
      if (event.firstByteMs !== undefined) bundle.firstByte.observe(event.firstByteMs / 1_000);
      if (event.upstreamMs > 0) {
        bundle.upstream.observe(event.upstreamMs / 1_000);
        bundle.overhead.observe(Math.max(0, event.durationMs - event.upstreamMs) / 1_000);
      }
      tokens.add(bundle.provider, event.model, event.usage);
    },
    requestRefused: (surface, reason) =>
      requests.at(known(surfaces, surface), "none", "none", "refused", word(reason)).add(1),
    responded: responses.add,
    inFlight: (surface, feature, change) => inFlight.at(known(surfaces, surface), known(features, feature)).add(change),
    upstreamTried: (name, outcome) => tries.at(name, outcome).add(1),
    upstreamKeyRefused: (name) => keyRefusals.at(name).add(1),
    storeTimer: (store, operation) => createCallTimer(stores[store], operation),
    quotaDecided: (feature, decision, reason) => decisions.at(known(features, feature), decision, word(reason)).add(1),
    eventsHandled: (sink, result, count) => events.at(sink, result).add(count),
    eventJoined: (reason) => joined.at(word(reason)).add(1),
    alertHandled: (channel, result) => alerts.at(channel, result).add(1),
    spansHandled: (result, count) => spans.at(result).add(count),
    server: {
      refused: (reason) => refusals.at(reason).add(1),
      cut: (reason) => cuts.at(reason).add(1),
      failed: () => handlerFailures.at().add(1),
    },
    sourceAsked: (source, outcome) => lookups.at(source, outcome).add(1),
    syncEnded: (source, outcome) => syncs.at(source, outcome).add(1),
    gauge(name, read) {
      gauges.set(name, () => {
        const value = read();
        return value === undefined ? [] : [["", value]];
      });
    },
    gaugeOf: (name, read) => void gauges.set(name, read),
    async render() {
      const ofRequests = [
        requests,
        responses,
        duration,
        overhead,
        firstByte,
        upstream,
        tries,
        keyRefusals,
        tokens,
        inFlight,
        decisions,
        stores.quota,
        stores.actors,
      ];
      const counted = [
        ...ofRequests,
        lookups,
        syncs,
        events,
        joined,
        alerts,
        spans,
        refusals,
        cuts,
        handlerFailures,
        info,
      ];
      const read = [...gauges].map(([name, values]) => gaugeText(names[name], values()));
      return [...counted.map((series) => series.text()), ...read, heapText(), await ofProcess.metrics()].join("\n");
    },
  };
}

/** What a request of one kind adds to. */
interface Bundle {
  readonly requests: Counter;
  readonly duration: Histogram;
  readonly overhead: Histogram;
  readonly firstByte: Histogram;
  readonly upstream: Histogram;
  readonly provider: string;
}

function known(values: ReadonlySet<string>, value: string): string {
  return values.has(value) ? value : "other";
}

/** Reasons are words of `errors.ts`. */
function word(reason: string | undefined): string {
  if (reason === undefined) return "";
  return /^[A-Z_]{1,40}$/.test(reason) ? reason : "other";
}
