/** How many further tries an upstream is asked for: a share of its requests, so that an outage is never multiplied. */
export interface RetryBudget {
  /** A request is sent for the first time. */
  sent(): void;
  /** Takes one further try; false when none is left. */
  spend(): boolean;
}

/** Further tries for each request. */
const share = 0.1;
/** What it begins with, and what a quiet upstream gets back: else its first failures could not be tried again. */
const reserve = 3;
const reserveEveryMs = 10_000;
/** Most that are saved up, so that a long quiet time does not pay for a burst. */
const most = 20;

/** `monotonic` in ms, never goes back. */
export function createRetryBudget(monotonic: () => number): RetryBudget {
  let left = reserve;
  let grantedAt = monotonic();
  return {
    sent() {
      if (left < most) left += share;
    },
    spend() {
      const granted = Math.floor((monotonic() - grantedAt) / reserveEveryMs);
      grantedAt += granted * reserveEveryMs;
      if (granted > 0 && left < reserve) left = Math.min(reserve, left + granted);
      // Tenths do not add up to exactly one.
      if (left < 1 - 1e-9) return false;
      left -= 1;
      return true;
    },
  };
}
