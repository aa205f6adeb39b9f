// Variables that are no settings of the gateway: what is said when one of them is set.

/** Variables that are accepted and have no effect. */
export interface Ignored {
  /** A name that ends in `*` stands for all that begin so. */
  readonly names: readonly string[];
  readonly why: string;
}

const gateway = (...names: string[]): string[] => names.map((name) => `CODY_GATEWAY_${name}`);

/** Those of the existing gateway that this one does without, and what it does not take of others. */
export const ignored: readonly Ignored[] = [
  {
    names: gateway("AUTO_FLUSH_STREAMING_RESPONSES"),
    why: "streams are always passed on as they come",
  },
  {
    names: ["SRC_HTTP_CLI_EXTERNAL_*"],
    why: "what is tried again is fixed (once, where nothing was sent), within the CODY_GATEWAY_UPSTREAM_…_TIMEOUT settings",
  },
  {
    names: ["EXTERNAL_DENY_LIST"],
    why: "requests go to configured upstreams and nowhere else",
  },
  {
    names: ["SRC_LOG_*"],
    why: "of the framework's log settings only SRC_LOG_LEVEL and SRC_LOG_FORMAT are read",
  },
  {
    names: gateway("IDENTIFIERS_TO_LOG_FOR"),
    why: "prompts are never written to events or logs",
  },
  {
    names: gateway("BUFFERED_LAGGY_EVENT_LOGGING_FUN_TIMES_MODE"),
    why: "tests of this gateway bring their own slow sinks",
  },
  {
    names: gateway("FIREWORKS_LOG_SELF_SERVE_COMPLETION_REQUESTS"),
    why: "prompts are never written to events or logs",
  },
  {
    names: gateway("FIREWORKS_DISABLE_SINGLE_TENANT"),
    why: "the …_SINGLE_TENANT_PERCENT settings say how much goes there",
  },
  {
    names: gateway("BIGQUERY_EVENT_BUFFER_SIZE"),
    why: "events wait where limits are counted, as many as CODY_GATEWAY_EVENTS_MAX_WAITING says",
  },
  {
    names: gateway("OTEL_GCP_PROJECT_ID"),
    why: "traces go to an OTLP endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): a collector there passes them on to Google Cloud",
  },
  {
    names: ["OTEL_PROPAGATORS"],
    why: "a caller's trace is read from traceparent, and nothing of it is passed on",
  },
  {
    names: ["OTEL_*"],
    why: "of OpenTelemetry's settings those are read that docs/configuration.md lists: traces by OTLP over HTTP; metrics are at /metrics, logs on standard error",
  },
];

/** Variables with this prefix that nobody reads are most likely misspelt. */
export const ownPrefix = "CODY_GATEWAY_";

/** Read by `cody-gateway admin`, not by the gateway. */
export const clientNames: readonly string[] = gateway("URL", "ADMIN_TOKEN");
