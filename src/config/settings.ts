// Every setting once. `--help`, `config show` and docs/configuration.md come from these entries.

import type * as z from "zod";
import { alerts } from "./alerts.js";
import { backEnds } from "./back-ends.js";
import { bigQuery } from "./bigquery.js";
import { events } from "./event-sinks.js";
import { flagging } from "./flagging.js";
import * as as from "./schemas.js";
import { type Setting, secret, setting } from "./setting.js";
import { traces } from "./traces.js";

export type { Setting } from "./setting.js";

const listening = {
  host: setting("CODY_GATEWAY_HOST", as.text.prefault("0.0.0.0"), "Address to listen on."),
  port: setting("PORT", as.integer(0, 65_535).prefault("9992"), "Port to listen on; 0 is any free one."),
  adminPort: setting(
    "CODY_GATEWAY_ADMIN_PORT",
    as.integer(1, 65_535).optional(),
    "Port for `/metrics`, health and `/-/…`, which are then not on `PORT` (`/-/__version` is on both).",
  ),
  tlsCertFile: setting(
    "CODY_GATEWAY_TLS_CERT_FILE",
    as.text.optional(),
    "Certificate chain, PEM: TLS is served, HTTP/2 and HTTP/1.1. Read again when it changes.",
  ),
  tlsKeyFile: setting("CODY_GATEWAY_TLS_KEY_FILE", as.text.optional(), "Private key of the certificate, PEM."),
  corsOrigins: setting(
    "CODY_GATEWAY_CORS_ORIGINS",
    as.origins.optional(),
    "Origins whose pages may call the RPCs for actors and the SDK routes from a browser, comma separated; `*` is any. Unset: none.",
  ),
  adminTokens: secret(
    "CODY_GATEWAY_ADMIN_TOKENS",
    as.adminTokens.optional(),
    "Who may administer the gateway: `name:role:sha256hex`, comma separated; role `viewer` or `operator`. `cody-gateway token admin` makes one.",
  ),
  diagnosticsSecret: secret(
    "CODY_GATEWAY_DIAGNOSTICS_SECRET",
    as.headerSecret.optional(),
    "Bearer token of `/-/healthz` and `/-/actor/…`. Unset: nobody may use them.",
  ),
  maxBodyBytes: setting(
    "CODY_GATEWAY_MAX_BODY_BYTES",
    as.integer(1_024, 2 ** 30).prefault("33554432"),
    "Largest HTTP request body, decoded.",
  ),
  maxMessageBytes: setting(
    "CODY_GATEWAY_MAX_MESSAGE_BYTES",
    as.integer(1_024, 2 ** 30).prefault("16777216"),
    "Largest RPC message, decoded.",
  ),
  streamHeartbeatMs: setting(
    "CODY_GATEWAY_STREAM_HEARTBEAT",
    as.delay.prefault("15s"),
    "A stream of server-sent events that is silent for so long gets a comment, so that nothing between takes it for dead; 0s: none.",
  ),
  writeStallMs: setting(
    "CODY_GATEWAY_WRITE_STALL_TIMEOUT",
    as.timeout.prefault("60s"),
    "A caller that takes nothing of its answer for so long is disconnected.",
  ),
  drainDelayMs: setting(
    "CODY_GATEWAY_DRAIN_DELAY",
    as.delay.prefault("5s"),
    "How long to keep accepting after SIGTERM, so that load balancers notice.",
  ),
  drainTimeoutMs: setting(
    "CODY_GATEWAY_DRAIN_TIMEOUT",
    as.delay.prefault("10m"),
    "How long live streams may then finish.",
  ),
};

const limits = {
  redisEndpoint: secret(
    "REDIS_ENDPOINT",
    as.redisEndpoint.optional(),
    "Redis for limits and tokens: `host:port`, `redis://`, `rediss://`, `redis+sentinel://h1,h2/name`, `redis+cluster://h1,h2`. Unset: in this process only, one gateway.",
  ),
  redisPrefix: setting("CODY_GATEWAY_REDIS_PREFIX", as.text.prefault("cody-gateway:"), "Prefix of all keys in Redis."),
  redisTimeoutMs: setting(
    "CODY_GATEWAY_REDIS_TIMEOUT",
    as.redisTimeout.prefault("100ms"),
    "Longest wait for Redis' answer about a limit. Longer for a Redis that is far away: so long its failures keep callers waiting.",
  ),
  dataDir: setting(
    "CODY_GATEWAY_DATA_DIR",
    as.text.optional(),
    "Directory of one process: what it counts without Redis, and events that wait, are kept there, and a restart goes on with them. Unset: in memory only.",
  ),
  workers: setting(
    "CODY_GATEWAY_WORKERS",
    as.integer(1, 256).prefault("1"),
    "Processes that share the port. More than one needs Redis.",
  ),
  tokenPepper: secret(
    "CODY_GATEWAY_TOKEN_PEPPER",
    as.pepper.optional(),
    "Key of the HMAC under which tokens are stored. Unset: made at first start and kept in the store.",
  ),
  quotaLeaseMs: setting(
    "CODY_GATEWAY_QUOTA_LEASE",
    as.lease.prefault("30s"),
    "How long what a process holds of limits stays held when the process dies. Renewed three times in that time.",
  ),
  quotaStoreFailure: setting(
    "CODY_GATEWAY_QUOTA_STORE_FAILURE",
    as.storeFailure.prefault("deny"),
    "While the store of limits is away: `deny`, or `allow:<n>` = up to n units for each actor and process.",
  ),
  burstPercentage: setting(
    "CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE",
    as.percentage.prefault("50"),
    "Share of an actor's daily limit that it may use in one short window.",
  ),
  burstWindowMs: setting(
    "CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_INTERVAL",
    as.window.prefault("10s"),
    "Length of that window.",
  ),
  userLimitPercentage: setting(
    "CODY_GATEWAY_ACTOR_USER_LIMIT_PERCENTAGE",
    as.percentage.optional(),
    "Share of each limit of an Enterprise subscription that one of its users may use up. Unset: all of it.",
  ),
};

const actors = {
  file: setting(
    "CODY_GATEWAY_CONFIG",
    as.text.optional(),
    "Configuration file, YAML or JSON: more providers, models, actors. Read again on SIGHUP and when it changes.",
  ),
  allowAnonymous: setting(
    "CODY_GATEWAY_ALLOW_ANONYMOUS",
    as.boolean.prefault("false"),
    "Whether requests without a token are served, as one actor with small limits.",
  ),
  syncIntervalMs: setting(
    "CODY_GATEWAY_SOURCES_SYNC_INTERVAL",
    as.timeout.prefault("2m"),
    "Time from one sync of all actors of a source to the next.",
  ),
  shrinkGuard: setting(
    "CODY_GATEWAY_SOURCES_SHRINK_GUARD",
    as.percentage.prefault("20%"),
    "A sync that would remove more than this share of a source's actors, and more than 10, or all, removes none until an operator allows it.",
  ),
  maxStaleMs: setting(
    "CODY_GATEWAY_SOURCES_MAX_STALE",
    as.duration.prefault("24h"),
    "How long a known actor is served when its source cannot be asked.",
  ),
  cacheTtlMs: setting(
    "CODY_GATEWAY_SOURCES_CACHE_TTL",
    as.duration.prefault("24h"),
    "How long an actor is served without asking its source again.",
  ),
};

/** The vendors that a key alone configures. */
export const vendors = {
  anthropic: vendor("ANTHROPIC", "Anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com"),
  openai: vendor("OPENAI", "OpenAI", "OPENAI_API_KEY", "https://api.openai.com/v1"),
  fireworks: vendor("FIREWORKS", "Fireworks", "FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1"),
  google: vendor("GOOGLE", "Google", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com"),
};

function vendor(word: string, title: string, fallback: string, baseUrl: string) {
  return {
    key: secret(`CODY_GATEWAY_${word}_ACCESS_TOKEN`, as.headerSecret.optional(), `Key of ${title}; turns it on.`, {
      fallbacks: [fallback],
    }),
    baseUrl: setting(
      `CODY_GATEWAY_${word}_BASE_URL`,
      as.baseUrl.prefault(baseUrl),
      "Where it is: what the vendor's own SDKs take as base URL.",
    ),
    models: setting(
      `CODY_GATEWAY_${word}_ALLOWED_MODELS`,
      as.list.optional(),
      "Its models that may be used, comma separated, with patterns (`claude-*`, `*`). Unset: those of the existing gateway and today's families.",
    ),
  };
}

const upstreams = {
  openaiOrganization: setting(
    "CODY_GATEWAY_OPENAI_ORG_ID",
    as.headerSecret.optional(),
    "Sent to OpenAI as `OpenAI-Organization`.",
  ),
  embeddingsModels: setting(
    "CODY_GATEWAY_ALLOWED_EMBEDDINGS_MODELS",
    as.gatewayModels.optional(),
    "Models for embeddings that may be used, comma separated, with their provider and with patterns (`openai/text-embedding-*`). Unset: those of the existing gateway and today's families.",
  ),
  sourcegraphEmbeddingsToken: secret(
    "CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN",
    as.headerSecret.optional(),
    "Key of Sourcegraph's own embeddings server; turns it on.",
  ),
  sourcegraphEmbeddingsUrl: setting(
    "CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_URL",
    as.baseUrl.prefault("https://embeddings.sourcegraph.com/v2/models/st-multi-qa-mpnet-base-dot-v1/infer"),
    "Where that server is.",
  ),
  maxTokensToSample: setting(
    "CODY_GATEWAY_ANTHROPIC_MAX_TOKENS_TO_SAMPLE",
    as.integer(1).prefault("4000"),
    "Most output tokens that Sourcegraph instances may ask Anthropic models for.",
  ),
  starcoderEnterprise: setting(
    "CODY_GATEWAY_FIREWORKS_STARCODER_ENTERPRISE_SINGLE_TENANT_PERCENT",
    as.integer(0, 100).prefault("100"),
    "How many of a hundred requests for `starcoder` go to the single-tenant model.",
  ),
  starcoderCommunity: setting(
    "CODY_GATEWAY_FIREWORKS_STARCODER_COMMUNITY_SINGLE_TENANT_PERCENT",
    as.integer(0, 100).prefault("0"),
    "The same for `starcoder-16b` and `starcoder-7b`.",
  ),
  connectMs: setting("CODY_GATEWAY_UPSTREAM_CONNECT_TIMEOUT", as.timeout.prefault("5s"), "Time to connect."),
  firstByteMs: setting(
    "CODY_GATEWAY_UPSTREAM_FIRST_BYTE_TIMEOUT",
    as.timeout.prefault("60s"),
    "Time until a stream begins.",
  ),
  idleMs: setting("CODY_GATEWAY_UPSTREAM_IDLE_TIMEOUT", as.timeout.prefault("120s"), "Longest silence in a stream."),
  totalMs: setting(
    "CODY_GATEWAY_UPSTREAM_TOTAL_TIMEOUT",
    as.timeout.prefault("60m"),
    "Time for the whole exchange; the deadline of a caller is at most this.",
  ),
};

const logging = {
  logLevel: setting(
    "CODY_GATEWAY_LOG_LEVEL",
    as.logLevel.prefault("info"),
    "`debug`, `info`, `warn`, `error` or `silent`. Logs go to standard error.",
    { fallbacks: ["SRC_LOG_LEVEL"] },
  ),
  logFormat: setting(
    "CODY_GATEWAY_LOG_FORMAT",
    as.logFormat.optional(),
    "`json` or `pretty`. Unset: `pretty` on a terminal, else `json`.",
    { fallbacks: ["SRC_LOG_FORMAT"] },
  ),
};

/** All settings but the vendors', by the name of their value. */
export const settings = {
  ...listening,
  ...limits,
  ...actors,
  ...backEnds,
  ...upstreams,
  ...flagging,
  ...alerts,
  ...events,
  ...bigQuery,
  ...logging,
  ...traces,
};

/** What the settings say. */
export type SettingValues = {
  readonly [K in keyof typeof settings]: z.output<(typeof settings)[K]["schema"]>;
};

/** The settings as they are shown to people. */
export const sections: readonly { readonly title: string; readonly settings: readonly Setting[] }[] = [
  { title: "Listening", settings: Object.values(listening) },
  { title: "Limits", settings: Object.values(limits) },
  { title: "Actors", settings: Object.values(actors) },
  { title: "Enterprise Portal and Sourcegraph.com", settings: Object.values<Setting>(backEnds) },
  {
    title: "Providers",
    settings: [...Object.values(vendors).flatMap(Object.values<Setting>), ...Object.values(upstreams)],
  },
  { title: "Checks of prompts", settings: Object.values<Setting>(flagging) },
  { title: "Alerts", settings: Object.values<Setting>(alerts) },
  { title: "Events and logs", settings: [...Object.values<Setting>(events), ...Object.values(logging)] },
  { title: "BigQuery", settings: Object.values<Setting>(bigQuery) },
  { title: "Traces", settings: Object.values<Setting>(traces) },
];
