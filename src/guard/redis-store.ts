import { createHash } from "node:crypto";
import type { Clock } from "../lib/clock.js";
import type { RedisConnection } from "../lib/redis.js";
import type { FlaggedRequest, FlaggedStore } from "./flagged.js";

/**
 * Flagged prompts of all processes: for each, what is known of it and what it says, and a sorted set of all by the time at
 * which they were flagged. All keys share a slot, and all have an end.
 */
export function createRedisFlaggedStore(
  parts: { readonly redis: RedisConnection; readonly clock: Clock },
  options: { readonly prefix: string },
): FlaggedStore {
  const { redis, clock } = parts;
  const { client } = redis;
  const base = `${options.prefix}{flagged}`;
  const index = `${base}:index`;
  const requestAt = (name: string): string => `${base}:request:${name}`;
  const promptAt = (name: string): string => `${base}:prompt:${name}`;

  return {
    async put(request, sealed, most) {
      const name = nameOf(request.key);
      const lifeMs = Math.max(1, Math.round(request.expiresAt - clock.now()));
      const transaction = client
        .multi()
        .set(requestAt(name), JSON.stringify(request), "PX", lifeMs)
        .set(promptAt(name), sealed, "PX", lifeMs)
        .zadd(index, request.at, name)
        // Longer than any that is in it, unless the time to keep was made shorter.
        .pexpire(index, lifeMs)
        .zcard(index);
      const results = (await transaction.exec()) ?? [];
      const failed = results.find(([error]) => error);
      if (failed?.[0]) throw failed[0];
      const excess = Number(results.at(-1)?.[1]) - most;
      if (excess <= 0) return;
      const popped = await client.zpopmin(index, excess);
      const oldest = popped.filter((_, at) => at % 2 === 0);
      await client.del(...oldest.flatMap((each) => [requestAt(each), promptAt(each)]));
    },
    async get(key) {
      const name = nameOf(key);
      const [request, sealed] = await client.mget(requestAt(name), promptAt(name));
      return typeof request === "string" && typeof sealed === "string"
        ? { request: parse(request), sealed }
        : undefined;
    },
    async list() {
      const names = await client.zrange(index, "0", "-1");
      if (names.length === 0) return [];
      const found = await client.mget(...names.map(requestAt));
      // What has ended by itself is still named: it goes when there are too many, or with the whole.
      return found.flatMap((each) => (typeof each === "string" ? [parse(each)] : [])).toReversed();
    },
    close: redis.close,
  };
}

/** Actors' ids may hold anything. */
function nameOf(key: string): string {
  return createHash("sha256").update(key).digest("base64url").slice(0, 32);
}

function parse(text: string): FlaggedRequest {
  return JSON.parse(text) as FlaggedRequest;
}
