// Outboxes on Redis, beside the quota stores that write to them.

import { connectRedis, type RedisConnection } from "../../src/lib/redis.js";
import { createQuotaKeys } from "../../src/quota/redis-keys.js";
import { actorKey } from "../../src/quota/rules.js";
import type { Outbox, ParkedEvent } from "../../src/usage/outbox.js";
import { createRedisOutbox, type RedisOutboxOptions } from "../../src/usage/redis-outbox.js";
import { recordingLog } from "./log.js";
import { type RedisServer, until } from "./redis.js";

export interface OpenOutbox extends AsyncDisposable {
  readonly outbox: Outbox;
  readonly redis: RedisConnection;
  readonly log: ReturnType<typeof recordingLog>;
}

export interface OpenOutboxOptions extends RedisOutboxOptions {
  readonly prefix: string;
  readonly sinks?: readonly string[];
}

/** Short leases: tests do not wait for long. A late answer is no fault. */
const quick = { leaseMs: 500, pollMs: 20, timeoutMs: 3_000 };

/** Connects; does not wait for anything. */
export function openOutbox(endpoint: string, { prefix, sinks = ["one"], ...options }: OpenOutboxOptions): OpenOutbox {
  const log = recordingLog();
  const redis = connectRedis(endpoint, "events", { log });
  const keys = createQuotaKeys(prefix);
  const outbox = createRedisOutbox(
    { redis, log, shards: keys.shards, shardOf: (actor) => keys.of(actorKey(actor)).shard },
    sinks,
    { ...quick, ...options },
  );
  return {
    outbox,
    redis,
    log,
    async [Symbol.asyncDispose]() {
      await outbox.close();
      await redis.close();
    },
  };
}

/** Resolves when every shard has a reader. */
export async function untilRead({ client }: Pick<RedisServer, "client">, prefix: string): Promise<void> {
  const readers = createQuotaKeys(prefix).shards.map(({ outbox }) => `${outbox}:reader`);
  await until(async () => (await client.exists(...readers)) === readers.length);
}

export async function parkedOn(
  { client }: Pick<RedisServer, "client">,
  prefix: string,
): Promise<readonly ParkedEvent[]> {
  const [first] = createQuotaKeys(prefix).shards;
  const entries = await client.xrange(`${first?.outbox}:parked`, "-", "+");
  return entries.map(([, [, sink = "", , why = "", , event = ""]]) => ({ sink, why, event: JSON.parse(event) }));
}
