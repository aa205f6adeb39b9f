import type { Limit } from "./actor.js";

/** The short windows that come with each limit: a share of the daily amount, at most so much in `windowMs`. */
export interface Burst {
  readonly percentage: number;
  readonly windowMs: number;
}

const dayMs = 86_400_000;

/** The short window that comes with `limit`. It counts requests, whatever the limit counts. */
export function burstOf(limit: Limit, { percentage, windowMs }: Burst): Limit {
  const perDay = limit.amount / (limit.windowMs / dayMs);
  // At least 2: a window of 1 would keep small quotas from ever being used by two people.
  const amount = Math.max(2, Math.floor((perDay * percentage) / 100));
  return { amount: Math.min(amount, Number.MAX_SAFE_INTEGER), unit: "requests", windowMs, burst: true };
}
