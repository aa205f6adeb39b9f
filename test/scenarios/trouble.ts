import { setTimeout as sleep } from "node:timers/promises";
import type { RedisServer } from "../helpers/redis.js";

export interface Trouble {
  /** How often Redis stops, at most. */
  readonly times: number;
  /** Time between two stops, and how long each lasts. */
  readonly everyMs: number;
  readonly frozenMs: number;
  /** Times that the scripts are forgotten for each time that the server stops. */
  readonly flushes: number;
}

/** Stops Redis and makes it forget its scripts, again and again until `over`. Returns how often it stopped. */
export async function troubleUntil(over: AbortSignal, redis: RedisServer, trouble: Trouble): Promise<number> {
  let stops = 0;
  while (!over.aborted && stops < trouble.times) {
    for (let i = 0; i < trouble.flushes; i++) {
      await sleep(trouble.everyMs / trouble.flushes);
      await redis.client.script("FLUSH").catch(() => undefined);
    }
    redis.freeze();
    await sleep(trouble.frozenMs);
    redis.thaw();
    stops++;
  }
  return stops;
}

/** `work`, with trouble as long as it goes on. */
export async function inTrouble<T>(redis: RedisServer, trouble: Trouble, work: () => Promise<T>): Promise<[T, number]> {
  const over = new AbortController();
  const stops = troubleUntil(over.signal, redis, trouble);
  try {
    const result = await work();
    over.abort();
    return [result, await stops];
  } finally {
    over.abort();
    await stops;
  }
}
