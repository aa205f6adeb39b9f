// Where usage events go, and where they wait for that: where limits are counted.

import type { Config, EventSinkConfig } from "./config.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import { createQuotaKeys } from "./quota/redis-keys.js";
import { actorKey } from "./quota/rules.js";
import { createDatabaseOutbox } from "./usage/database-outbox.js";
import { createMemoryOutbox } from "./usage/memory-outbox.js";
import type { Outbox } from "./usage/outbox.js";
import { createRedisOutbox } from "./usage/redis-outbox.js";
import type { Sink } from "./usage/sink.js";
import { createFileSink } from "./usage/sinks/file.js";
import { createHttpSink } from "./usage/sinks/http.js";
import { createStdoutSink } from "./usage/sinks/stdout.js";

/** A sink as it is configured. */
export async function createSink(sink: EventSinkConfig, { httpHeaders }: Config["events"]): Promise<Sink> {
  if (sink.kind === "stdout") return createStdoutSink();
  if (sink.kind === "file") return createFileSink(sink.path);
  if (sink.kind === "http") return createHttpSink(sink.url, { headers: httpHeaders });
  // Takes time and memory at the start, for those who use it.
  const { createPostgresSink } = await import("./usage/sinks/postgres.js");
  return createPostgresSink(sink.url);
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
