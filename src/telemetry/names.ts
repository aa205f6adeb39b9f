// Every metric of the gateway: names after https://prometheus.io/docs/practices/naming/, base units, no ids in labels.
// Beside them stand those of the process, under the names that Prometheus gives them: process_* and nodejs_*, event-loop
// lag (nodejs_eventloop_lag_p99_seconds) among them.

/** A metric, and the labels that it has. */
export interface MetricName {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, for histograms. */
  readonly buckets?: readonly number[];
}

const prefix = "cody_gateway_";

// What OpenTelemetry has for gen_ai.client.operation.duration, and two more for long reasoning.
const exchangeSeconds = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300, 900,
];
const ownSeconds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
// As far as the longest wait that can be set.
const storeSeconds = [...ownSeconds, 2.5, 10];

export const names = {
  requests: {
    name: `${prefix}requests_total`,
    help: "Requests that ended, by how; reason is empty for those that completed.",
    labels: ["surface", "feature", "provider", "outcome", "reason"],
  },
  responses: {
    name: `${prefix}http_responses_total`,
    help: "HTTP answers by status, whatever was asked for; none: the caller had none when its request ended.",
    labels: ["surface", "status"],
  },
  duration: {
    name: `${prefix}request_duration_seconds`,
    help: "From a request's arrival to its end.",
    labels: ["surface", "feature", "provider"],
    buckets: exchangeSeconds,
  },
  overhead: {
    name: `${prefix}request_overhead_seconds`,
    help: "What the gateway added: a request's duration without its time at the upstream.",
    labels: ["surface", "feature", "provider"],
    buckets: ownSeconds,
  },
  firstByte: {
    name: `${prefix}request_first_byte_seconds`,
    help: "From a request's arrival to the beginning of its answer.",
    labels: ["surface", "feature", "provider"],
    buckets: exchangeSeconds,
  },
  upstream: {
    name: `${prefix}upstream_duration_seconds`,
    help: "Time that requests spent at the upstream.",
    labels: ["provider", "feature", "outcome"],
    buckets: exchangeSeconds,
  },
  upstreamTries: {
    name: `${prefix}upstream_tries_total`,
    help: "Requests to upstreams by how they ended; a request of a caller can take several.",
    labels: ["upstream", "outcome"],
  },
  upstreamKeyRefusals: {
    name: `${prefix}upstream_key_refusals_total`,
    help: "Answers by which an upstream refused one of the gateway's keys.",
    labels: ["upstream"],
  },
  upstreamKeysResting: {
    name: `${prefix}upstream_keys_resting`,
    help: "Keys that are left out for a while because the upstream refused them.",
    labels: ["upstream"],
  },
  upstreamModelsUnavailable: {
    name: `${prefix}upstream_models_unavailable`,
    help: "Models that are not asked for now because the upstream fails for them.",
    labels: ["upstream"],
  },
  tokens: {
    name: `${prefix}tokens_total`,
    help: "Tokens as the upstreams reported them. cached_input and cache_write are parts of input, reasoning of output.",
    labels: ["provider", "model", "kind"],
  },
  inFlight: {
    name: `${prefix}requests_in_flight`,
    help: "Requests under way.",
    labels: ["surface", "feature"],
  },
  quotaDecisions: {
    name: `${prefix}quota_decisions_total`,
    help: "Decisions about limits; blind is one made while the store was away.",
    labels: ["feature", "decision", "reason"],
  },
  quotaStoreCalls: {
    name: `${prefix}quota_store_duration_seconds`,
    help: "Time that calls of the quota store took, also those that it did not answer in time: unavailable.",
    labels: ["operation", "outcome"],
    buckets: storeSeconds,
  },
  actorStoreCalls: {
    name: `${prefix}actor_store_duration_seconds`,
    help: "Time that calls of the store of actors took. Who is known is found without one.",
    labels: ["operation", "outcome"],
    buckets: storeSeconds,
  },
  events: {
    name: `${prefix}usage_events_total`,
    help: "Usage events by sink: delivered, retried after a failure, parked because the sink refuses them, or lost.",
    labels: ["sink", "result"],
  },
  eventsJoined: {
    name: `${prefix}usage_events_joined_total`,
    help: "Refused requests that have no usage event of their own: one stands for several alike.",
    labels: ["reason"],
  },
  alerts: {
    name: `${prefix}alerts_total`,
    help: "Alerts by channel: sent, retried after a failure, or lost.",
    labels: ["channel", "result"],
  },
  spans: {
    name: `${prefix}spans_total`,
    help: "Spans of traces: exported, or dropped because too many wait or their receiver fails.",
    labels: ["result"],
  },
  refusals: {
    name: `${prefix}server_refusals_total`,
    help: "Requests that the server refused before anything of the gateway saw them.",
    labels: ["reason"],
  },
  cuts: {
    name: `${prefix}server_cuts_total`,
    help: "Connections, sessions and answers that the server ended.",
    labels: ["reason"],
  },
  handlerFailures: {
    name: `${prefix}server_handler_failures_total`,
    help: "Requests whose handler failed in a way that nobody expected.",
    labels: [],
  },
  ledgerBacklog: { name: `${prefix}ledger_backlog_events`, help: "Usage events waiting for a sink.", labels: [] },
  connections: { name: `${prefix}connections`, help: "Open connections of callers.", labels: [] },
  quotaStoreUp: {
    name: `${prefix}quota_store_up`,
    help: "1 while the quota store can be asked, 0 while it is away. Not there for limits in memory.",
    labels: [],
  },
  sourceLookups: {
    name: `${prefix}source_lookups_total`,
    help: "Look-ups of single actors: found, nobody, failed, or limited: not made, to spare the source.",
    labels: ["source", "outcome"],
  },
  sourceSyncs: {
    name: `${prefix}source_syncs_total`,
    help: "Syncs of this process that ended: succeeded, held by the shrink guard, failed or canceled.",
    labels: ["source", "outcome"],
  },
  actorsKnown: { name: `${prefix}actors_known`, help: "Actors that are known.", labels: ["source"] },
  sourceUp: {
    name: `${prefix}source_up`,
    help: "1 while the source answers or was not asked yet, 0 while it fails. Known actors are served all the same.",
    labels: ["source"],
  },
  syncAge: {
    name: `${prefix}source_sync_age_seconds`,
    help: "Time since the last sync began that had the whole listing.",
    labels: ["source"],
  },
  syncHeld: {
    name: `${prefix}source_sync_held`,
    help: "1 while the shrink guard keeps actors that the source no longer lists.",
    labels: ["source"],
  },
  actorStoreUp: {
    name: `${prefix}actor_store_up`,
    help: "1 while the store of actors can be asked, 0 while it is away. There with Redis only.",
    labels: [],
  },
  heapLimit: {
    name: `${prefix}heap_limit_bytes`,
    help: "The size at which a process runs out of heap: nodejs_heap_size_used_bytes cannot exceed it.",
    labels: [],
  },
  heapUsed: {
    name: `${prefix}heap_used_ratio`,
    help: "How much of its limit the heap has reached, of several workers the one closest to it.",
    labels: [],
  },
  heapGrowth: {
    name: `${prefix}heap_growth_ratio`,
    help: "By what part of itself the heap may grow before it is collected as a whole.",
    labels: [],
  },
  info: {
    name: `${prefix}build_info`,
    help: "1, with the gateway's version and the deployment's name.",
    labels: ["version", "environment"],
  },
} as const satisfies Record<string, MetricName>;
