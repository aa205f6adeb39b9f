import { createHash } from "node:crypto";
import { UnavailableError } from "../errors.js";
import type { RedisConnection } from "../lib/redis.js";
import { RedisAwayError, readRedisError } from "../lib/redis-errors.js";
import {
  joinWindows,
  keptMs,
  keptWindows,
  type ModelTotals,
  type TotalsStore,
  type UsageSample,
  type WindowUsage,
} from "./totals.js";

/** When a caller may ask again while Redis is away. */
const retryAfterMs = 1_000;

/**
 * Totals of all processes: a hash for each window, with `<unit> <model>` as fields, and a sorted set of the windows' openings.
 * The keys of one actor and feature share a slot.
 */
export function createRedisTotals(
  parts: { readonly redis: RedisConnection },
  options: { readonly prefix: string },
): TotalsStore {
  const { client } = parts.redis;

  function keysOf(actor: string, feature: string) {
    // An actor's id may hold anything, also what Redis would read as a hash tag.
    const tag = createHash("sha256").update(`${feature} ${actor}`).digest("base64url").slice(0, 22);
    const base = `${options.prefix}totals:{${tag}}`;
    return { windows: `${base}:windows`, window: (openedAt: number | string) => `${base}:${openedAt}` };
  }

  async function add(sample: UsageSample): Promise<void> {
    const { actor, feature, model, window, requests, inputTokens, outputTokens, microdollars } = sample;
    const keys = keysOf(actor, feature);
    const key = keys.window(window.openedAt);
    const lifeMs = Math.min(keptMs, window.windowMs * (keptWindows + 1));
    const transaction = client
      .multi()
      .hset(key, { windowMs: window.windowMs, limit: window.limit })
      .hincrby(key, `requests ${model}`, requests)
      .hincrby(key, `input ${model}`, inputTokens)
      .hincrby(key, `output ${model}`, outputTokens)
      .hincrby(key, `cost ${model}`, microdollars)
      .pexpire(key, lifeMs)
      .zadd(keys.windows, window.openedAt, String(window.openedAt))
      // One window can be kept under more than one opening.
      .zremrangebyrank(keys.windows, 0, -4 * keptWindows - 1)
      .pexpire(keys.windows, keptMs);
    const results = await transaction.exec();
    const failed = results?.find(([error]) => error);
    if (failed?.[0]) throw failed[0];
  }

  async function windowsOf(actor: string, feature: string): Promise<readonly WindowUsage[]> {
    const keys = keysOf(actor, feature);
    const openings = await client.zrange(keys.windows, "0", "-1");
    const windows = await Promise.all(
      openings.map(async (openedAt) => readWindow(Number(openedAt), await client.hgetall(keys.window(openedAt)))),
    );
    return windows.filter(({ models }) => models.size > 0);
  }

  return {
    async add(samples) {
      await Promise.all(samples.map(add));
    },
    async read(actor, feature) {
      try {
        return joinWindows(await windowsOf(actor, feature));
      } catch (error) {
        const cause = readRedisError(error);
        if (!(cause instanceof RedisAwayError)) throw cause;
        throw new UnavailableError("QUOTA_STORE_UNAVAILABLE", "usage is unavailable", retryAfterMs, { cause });
      }
    },
  };
}

function readWindow(openedAt: number, fields: Readonly<Record<string, string>>): WindowUsage {
  const models = new Map<string, ModelTotals>();
  for (const field of Object.keys(fields)) {
    if (!field.startsWith("requests ")) continue;
    const model = field.slice("requests ".length);
    const count = (unit: string): number => Number(fields[`${unit} ${model}`] ?? 0);
    const [requests, inputTokens, outputTokens] = [count("requests"), count("input"), count("output")];
    models.set(model, { requests, inputTokens, outputTokens, microdollars: count("cost") });
  }
  return { openedAt, windowMs: Number(fields["windowMs"] ?? 0), limit: Number(fields["limit"] ?? 0), models };
}
