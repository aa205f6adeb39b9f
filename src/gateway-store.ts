// Which store limits are counted in: Redis for any number of processes; for one its memory, on disk where there is a place.

import type { Config } from "./config.js";
import type { Clock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import type { Readiness } from "./lib/readiness.js";
import type { RedisConnection } from "./lib/redis.js";
import { timed } from "./lib/timed.js";
import { createJournalQuotaStore } from "./quota/journal-store.js";
import { createMemoryQuotaStore } from "./quota/memory-store.js";
import { checkRedis } from "./quota/redis-check.js";
import { createRedisQuotaStore } from "./quota/redis-store.js";
import type { QuotaStore } from "./quota/store.js";
import type { Metrics } from "./telemetry/metrics.js";

export interface StoreParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** That of the data directory, where there is one. */
  readonly database: Database | undefined;
  /** Told whether the store can be asked. */
  readonly readiness: Readiness;
  /** Whether somebody reads what a store tells the outbox; otherwise it would only fill up. */
  readonly outbox: boolean;
}

const condition = "quota store";

/**
 * Resolves at once: a store that is away at the start is asked again until it is there. Rejects with `DatabaseUnusableError`
 * when what is on disk cannot be read.
 */
export async function createStore(config: Config, parts: StoreParts): Promise<QuotaStore> {
  const methods = ["reserve", "commit", "refund", "renew", "reap", "usage", "reset"] as const;
  return timed(await openStore(config, parts), methods, (method) => parts.metrics.storeTimer("quota", method));
}

async function openStore(config: Config, parts: StoreParts): Promise<QuotaStore> {
  const { redisEndpoint } = config;
  if (redisEndpoint !== undefined) return createSharedStore(redisEndpoint, config, parts);
  const leaseMs = config.quotaLeaseMs;
  return parts.database ? createKeptStore(parts.database, leaseMs, parts) : createMemoryQuotaStore(parts, { leaseMs });
}

async function createKeptStore(
  database: Database,
  leaseMs: number,
  { clock, log, metrics, readiness, outbox }: StoreParts,
): Promise<QuotaStore> {
  const store = await createJournalQuotaStore({ clock, database, log }, { leaseMs, outbox });
  metrics.gauge("quotaStoreUp", () => (database.failure === undefined ? 1 : 0));
  database.onState((failure) => readiness.set(condition, failure === undefined));
  return store;
}

async function createSharedStore(
  endpoint: string,
  config: Config,
  { log, metrics, readiness, outbox }: StoreParts,
): Promise<QuotaStore> {
  // Takes time and memory at the start, for those who use it.
  const { connectRedis } = await import("./lib/redis.js");
  const redis = connectRedis(endpoint, "quota", { log });
  readiness.set(condition, false);
  let up = false;
  metrics.gauge("quotaStoreUp", () => (up ? 1 : 0));
  const store = createRedisQuotaStore(
    {
      redis,
      log,
      onState(state) {
        if (state.up !== up)
          log[state.up ? "info" : "error"]({ servers: state.servers }, `quota store is ${state.up ? "there" : "away"}`);
        up = state.up;
        readiness.set(condition, up);
      },
    },
    { prefix: config.redisPrefix, timeoutMs: config.redisTimeoutMs, leaseMs: config.quotaLeaseMs, outbox },
  );
  warnOnce(redis, config.redisPrefix, log);
  return {
    ...store,
    async close() {
      await store.close();
      await redis.close();
    },
  };
}

/** Says, as soon as Redis can be asked, what about it endangers limits, and what to do. */
function warnOnce(redis: RedisConnection, prefix: string, log: Log): void {
  let asked = false;
  redis.onReady(() => {
    if (asked) return;
    asked = true;
    checkRedis(redis, prefix).then(
      (warnings) => warnings.forEach((warning) => log.warn({ warning }, "redis")),
      (error: unknown) => log.warn({ err: error }, "redis could not be checked"),
    );
  });
}
