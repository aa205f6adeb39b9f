// What the configuration is, once it is read and found right.

import type { Feature, PerUser } from "../actors/actor.js";
import type { Burst } from "../actors/burst.js";
import type { StaticActor } from "../actors/sources/static.js";
import type { AdminToken } from "../auth/admin.js";
import type { GuardPolicy } from "../guard/rules.js";
import type { GoogleCredentials } from "../lib/google-token.js";
import type { UpstreamKey } from "../upstream/keys.js";
import type { SealingKey } from "./schemas.js";

/** The gateway's whole configuration: environment and file, read and checked. Times are in milliseconds. */
export interface Config extends BackEndsConfig {
  /** Address to listen on. */
  readonly host: string;
  /** Port to listen on; 0 is any free one. */
  readonly port: number;
  /** Where diagnostics, metrics and administration are served; undefined: on `port`. */
  readonly adminPort: number | undefined;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Origins that may call from a browser; `*` is any. */
  readonly corsOrigins: readonly string[];
  /** Who may call the administration, beside holders of SAMS tokens. */
  readonly adminTokens: readonly AdminToken[];
  /** Bearer of `/-/healthz` and `/-/actor/…`; undefined: nobody may. */
  readonly diagnosticsSecret: string | undefined;
  /** Largest HTTP request body, decoded. */
  readonly maxBodyBytes: number;
  /** Largest RPC message, decoded. */
  readonly maxMessageBytes: number;
  /** Silence after which a stream gets a sign of life; 0: it gets none. */
  readonly streamHeartbeatMs: number;
  /** How long a caller may take nothing of its answer. */
  readonly writeStallMs: number;
  /** After SIGTERM: how long to keep accepting, and how long live streams may then finish. */
  readonly drain: { readonly delayMs: number; readonly timeoutMs: number };

  /** As it was set: `host:port` or a URL, which may hold a password. Undefined: everything stays in this process. */
  readonly redisEndpoint: string | undefined;
  /** Prefix of all keys in Redis. */
  readonly redisPrefix: string;
  /** Longest wait for Redis' answer about a limit. */
  readonly redisTimeoutMs: number;
  /** Where limits are kept on disk without Redis; undefined: nowhere. */
  readonly dataDir: string | undefined;
  /** Processes that share the port. */
  readonly workers: number;
  /** Key of the HMAC that stands for tokens; undefined: make one and keep it in the store. */
  readonly tokenPepper: string | undefined;

  readonly allowAnonymous: boolean;
  /** Actors of the configuration file. */
  readonly staticActors: readonly StaticActor[];
  /** The short windows that come with the limits of existing actors. */
  readonly burst: Burst;
  readonly sources: {
    /** Time from one sync to the next. */
    readonly syncIntervalMs: number;
    /** Share of a source's actors that a sync may remove, 0 to 1. */
    readonly shrinkGuard: number;
    /** How long a known actor is served when its source cannot be asked. */
    readonly maxStaleMs: number;
    /** How long an actor is served without asking its source again. */
    readonly cacheTtlMs: number;
  };
  /** What each user of an Enterprise subscription may have; of features that are absent, all that the subscription has. */
  readonly perUserLimits: PerUserDefaults;
  /** How long a hold of limits lives without being renewed. */
  readonly quotaLeaseMs: number;
  /** What happens to requests while the quota store is away. */
  readonly quotaStoreFailure: Readonly<Record<Feature, StoreFailure>>;

  readonly upstreams: readonly UpstreamConfig[];
  /** For upstreams that do not say otherwise. */
  readonly upstreamTimeouts: UpstreamTimeouts;
  /** Models with a rule of their own: virtual names, fallbacks, prices. */
  readonly models: readonly ModelConfig[];
  /** Most output tokens that Sourcegraph instances may ask Anthropic models for. */
  readonly maxTokensToSample: number;
  /** How many of a hundred requests for StarCoder's virtual names go to the single-tenant model. */
  readonly starcoder: { readonly enterprisePercent: number; readonly communityPercent: number };

  readonly flagging: FlaggingConfig;
  readonly alerts: readonly AlertConfig[];

  /** Where usage events go; empty: nowhere. */
  readonly eventSinks: readonly EventSinkConfig[];
  readonly events: {
    /** Most that may wait for sinks; undefined: as many as suit where they wait. */
    readonly maxWaiting: number | undefined;
    /** What happens then: the oldest are lost to sinks that are behind, or requests are refused. */
    readonly whenFull: "drop" | "deny";
    /** For the HTTP sinks; secret. */
    readonly httpHeaders: Readonly<Record<string, string>>;
    /** Undefined: no event goes there. */
    readonly bigQuery: BigQueryConfig | undefined;
  };
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error" | "silent";
    /** Undefined: `pretty` on a terminal, otherwise `json`. */
    readonly format: "json" | "pretty" | undefined;
  };
  /** Undefined: no traces are exported. */
  readonly traces: TracesConfig | undefined;
  /** The configuration file, when there is one. */
  readonly file: string | undefined;
  /** To be said at start: what was set and has no effect, and why; what is left open. */
  readonly notices: readonly string[];
}

/** Where actors come from, but for the file. */
export interface BackEndsConfig {
  /** Name of this deployment, for those that it calls. */
  readonly environment: string;
  readonly enterprisePortal: { readonly url: string; readonly protocol: "grpc" | "connect" } | undefined;
  /** Whether only those of its subscriptions that are for development have access. */
  readonly devLicensesOnly: boolean;
  /** The accounts service, and who the gateway is there. */
  readonly sams: { readonly url: string; readonly clientId: string; readonly clientSecret: string } | undefined;
  /** Whether Sourcegraph.com is asked where code stands in public. */
  readonly attribution: boolean;
  /** Sourcegraph.com. */
  readonly dotcom:
    | {
        readonly apiUrl: string;
        readonly accessToken: string;
        readonly clientId: string | undefined;
        readonly coolDownMs: number;
      }
    | undefined;
}

/** Who is told when actors have used most of a limit. */
export interface AlertConfig {
  readonly kind: "slack" | "webhook";
  /** Slack's is a secret. */
  readonly url: string;
  /** Signs what a webhook is sent; undefined: nothing is signed. */
  readonly secret: string | undefined;
  /** Percents. */
  readonly thresholds: readonly number[];
  /** Of whose actors. */
  readonly sources: readonly string[];
}

/** Checks of prompts, and what is kept of those that are flagged. */
export interface FlaggingConfig {
  readonly policy: GuardPolicy;
  readonly kept: {
    readonly ttlMs: number;
    /** The first one encrypts; empty: no prompt is kept. */
    readonly keys: readonly SealingKey[];
    /** Sources of the actors whose prompts are kept. */
    readonly sources: readonly string[];
    /** Most prompts that are kept. */
    readonly most: number;
  };
}

/** What each user may have, by feature. */
export type PerUserDefaults = Readonly<Partial<Record<Feature, PerUser>>>;

/** While the quota store is away: refuse, or let each actor use up to `allow` units in each process. */
export type StoreFailure = "deny" | { readonly allow: number };

/** Limits in time of one exchange with an upstream. */
export interface UpstreamTimeouts {
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

/** One configured upstream. */
export interface UpstreamConfig {
  /** Prefix of its models; unique. */
  readonly name: string;
  /** How it speaks: the kind of its provider. */
  readonly kind: string;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** Used in turn, each as often as its weight says; empty: requests carry no key. */
  readonly keys: readonly UpstreamKey[];
  /** Allow list in the upstream's own names, with shell-style patterns; undefined: the defaults of its kind. */
  readonly models: readonly string[] | undefined;
  readonly embeddings: EmbeddingsConfig;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeouts: Partial<UpstreamTimeouts>;
}

/** What is an upstream's own where it makes embeddings. */
export interface EmbeddingsConfig {
  /** Its models for embeddings, as `UpstreamConfig.models`; undefined: the defaults of its kind. */
  readonly models: readonly string[] | undefined;
  /** How much it takes in one call; undefined: what its kind does. */
  readonly inputsPerCall: number | undefined;
  readonly tokensPerCall: number | undefined;
}

/** One model name with a rule of its own. */
export interface ModelConfig {
  /** Gateway model name that callers use. */
  readonly id: string;
  /** For a name that is no model itself: the real ones (gateway names) it stands for, by weight. */
  readonly routes: readonly {
    readonly model: string;
    readonly weight: number;
    /** Languages of prompts that it is for; undefined: those that no other route is for. */
    readonly languages: readonly string[] | undefined;
  }[];
  /** Gateway names tried in order while nothing was sent to the caller. */
  readonly fallbacks: readonly string[];
  /** Undefined: what it costs is not known. */
  readonly prices: ModelPrices | undefined;
}

/** US dollars for a million tokens. */
export interface ModelPrices {
  readonly inputPerMillion: number;
  readonly outputPerMillion: number;
  /** Input read from the provider's prompt cache; undefined: as other input. */
  readonly cachedInputPerMillion: number | undefined;
  /** Input written to the provider's prompt cache; undefined: as other input. */
  readonly cacheWritePerMillion: number | undefined;
}

export type EventSinkConfig =
  | { readonly kind: "stdout" }
  /** The table of `events.bigQuery`. */
  | { readonly kind: "bigquery" }
  | { readonly kind: "file"; readonly path: string }
  /** `url` may hold secrets. */
  | { readonly kind: "http" | "postgres"; readonly url: string };

/** A table of BigQuery, and how it is written to. */
export interface BigQueryConfig {
  readonly project: string;
  readonly dataset: string;
  readonly table: string;
  /** Where the API is, without a slash at its end. */
  readonly baseUrl: string;
  /** Undefined: it is called without a token. */
  readonly credentials: GoogleCredentials | undefined;
  /** Requests at the same time. */
  readonly workers: number;
}

/** Which requests are traced, and where traces go. */
export interface TracesConfig {
  /** All requests, or those that ask for it. */
  readonly policy: "all" | "selective";
  /** Share of them that is traced, 0 to 1. */
  readonly share: number;
  /** Receives OTLP over HTTP. May hold user and password. */
  readonly url: string;
  /** Sent there; secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** Time for one export. */
  readonly timeoutMs: number;
  readonly gzip: boolean;
  /** What is said of this gateway, `service.name` among it. */
  readonly resource: Readonly<Record<string, string>>;
  readonly queue: {
    /** How long spans wait to be exported together. */
    readonly delayMs: number;
    /** How long an export that fails is tried again. */
    readonly exportMs: number;
    /** Most spans that wait. */
    readonly maxWaiting: number;
    /** Most spans of one export. */
    readonly batchSize: number;
  };
}

/** One thing that is wrong with the configuration. */
export interface Problem {
  /** The variable, or the path of the file. */
  readonly source: string;
  /** In the file, counted from 1. */
  readonly line?: number;
  /** In the file: `providers[0].keys`. */
  readonly field?: string;
  /** What was expected. Never holds a secret. */
  readonly message: string;
}

/** A configuration, or everything that is wrong with it. */
export type Loaded =
  | { readonly config: Config }
  | { readonly problems: readonly Problem[]; readonly notices: readonly string[] };

/** As one line: `gateway.yaml:12: providers[0].kind: expected one of …`. */
export function formatProblem({ source, line, field, message }: Problem): string {
  return `${source}${line === undefined ? "" : `:${line}`}: ${field === undefined ? "" : `${field}: `}${message}`;
}

/** The gateway cannot start with this configuration. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly problems: readonly Problem[]) {
    super("configuration is wrong");
  }
}
