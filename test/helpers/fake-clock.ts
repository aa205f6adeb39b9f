import { vi } from "vitest";
import type { Clock } from "../../src/lib/clock.js";

/** A clock that stands still until it is moved. */
export interface FakeClock extends Clock {
  /** Moves time on. Where vitest's timers are in use, `Date` included, moves them along and lets what they start run. */
  advanceMs(ms: number): Promise<void>;
}

/** Starts at the beginning of 2026, or where vitest's timers stand. */
export function fakeClock(): FakeClock {
  let now = Date.UTC(2026, 0, 1);
  return {
    now: () => (vi.isFakeTimers() ? Date.now() : now),
    async advanceMs(ms) {
      if (vi.isFakeTimers()) await vi.advanceTimersByTimeAsync(ms);
      else now += ms;
    },
  };
}
