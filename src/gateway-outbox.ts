// Where usage events go, and where they wait for that: where limits are counted.

import type { Config, EventSinkConfig } from "./config.js";
import type { Clock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import { googleTokens } from "./lib/google-token.js";
import { createHttpCaller } from "./lib/http-caller.js";
import type { Log } from "./lib/log.js";
import { createTokenSource } from "./lib/oauth.js";
import { createQuotaKeys } from "./quota/redis-keys.js";
import { actorKey } from "./quota/rules.js";
import { createDatabaseOutbox } from "./usage/database-outbox.js";
import { createMemoryOutbox } from "./usage/memory-outbox.js";
import type { Outbox } from "./usage/outbox.js";
import { createRedisOutbox } from "./usage/redis-outbox.js";
import type { Sink } from "./usage/sink.js";
import { createBigQuerySink } from "./usage/sinks/bigquery.js";
import { createFileSink } from "./usage/sinks/file.js";
import { createHttpSink } from "./usage/sinks/http.js";
import { createStdoutSink } from "./usage/sinks/stdout.js";

export interface SinkParts {
  readonly clock: Clock;
  /** How the gateway names itself to whomever it calls. */
  readonly userAgent: string;
}

/** A sink as it is configured. */
export async function createSink(
  sink: EventSinkConfig,
  { httpHeaders, bigQuery }: Pick<Config["events"], "httpHeaders" | "bigQuery">,
  parts: SinkParts,
): Promise<Sink> {
  if (sink.kind === "stdout") return createStdoutSink();
  if (sink.kind === "file") return createFileSink(sink.path);
  if (sink.kind === "http") return createHttpSink(sink.url, { headers: httpHeaders, userAgent: parts.userAgent });
  if (sink.kind === "bigquery") return bigQuerySink(bigQuery, parts);
  // Takes time and memory at the start, for those who use it.
  const { createPostgresSink } = await import("./usage/sinks/postgres.js");
  return createPostgresSink(sink.url);
}

/** What its tokens are good for: to insert rows, and nothing else. */
const bigQueryScope = "https://www.googleapis.com/auth/bigquery.insertdata";

function bigQuerySink(bigQuery: Config["events"]["bigQuery"], { clock, userAgent }: SinkParts): Sink {
  if (bigQuery === undefined) throw new Error("there is no table of BigQuery");
  const { credentials } = bigQuery;
  const options = { ...bigQuery, userAgent };
  if (credentials === undefined) return createBigQuerySink({ tokens: undefined }, options);
  const service = "Google";
  const caller = createHttpCaller(service, { connections: 1, userAgent });
  const ask = googleTokens(caller, credentials, bigQueryScope);
  const sink = createBigQuerySink({ tokens: createTokenSource({ ask, clock }, { service }) }, options);
  return {
    ...sink,
    async close() {
      await sink.close?.();
      await caller.close();
    },
  };
}

/** For sinks with these keys. Create the quota store before: it makes what is read here. */
export async function createOutbox(
  config: Config,
  { log, database }: { readonly log: Log; readonly database: Database | undefined },
  sinks: readonly string[],
): Promise<Outbox> {
  const { redisEndpoint } = config;
  const bounds = boundsOf(config.events);
  if (sinks.length === 0) return createMemoryOutbox(sinks, bounds);
  if (redisEndpoint !== undefined) return createSharedOutbox(redisEndpoint, config, log, sinks);
  return database ? createDatabaseOutbox({ database, log }, sinks, bounds) : createMemoryOutbox(sinks, bounds);
}

async function createSharedOutbox(
  endpoint: string,
  config: Config,
  log: Log,
  sinks: readonly string[],
): Promise<Outbox> {
  // Takes time and memory at the start, for those who use it.
  const { connectRedis } = await import("./lib/redis.js");
  const redis = connectRedis(endpoint, "events", { log });
  const keys = createQuotaKeys(config.redisPrefix);
  const outbox = createRedisOutbox(
    { redis, log, shards: keys.shards, shardOf: (actor) => keys.of(actorKey(actor)).shard },
    sinks,
    boundsOf(config.events),
  );
  return {
    ...outbox,
    async close() {
      await outbox.close();
      await redis.close();
    },
  };
}

function boundsOf({ maxWaiting, whenFull }: Config["events"]) {
  return { ...(maxWaiting !== undefined && { maxWaiting }), dropsOldest: whenFull === "drop" };
}
