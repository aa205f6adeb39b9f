import { createShortLivedSet, type Placed } from "../lib/short-lived.js";

/** Something with a time limit that is looked at now and then. */
export interface Watched extends Placed {
  /** Called every `tickMs` with the time on the watch's clock; acts when a limit has passed. */
  tick(nowMs: number): void;
}

/**
 * One timer for all exchanges under way: cheaper than timers of their own, which every chunk would have to move.
 * Limits are kept to within one tick.
 */
export interface Watch {
  /** Monotonic time in milliseconds, as of the last tick or `add`: good enough for limits, free to read. */
  now(): number;
  add(watched: Watched): void;
  delete(watched: Watched): void;
}

export function createWatch(tickMs = 50): Watch {
  const all = createShortLivedSet<Watched>();
  let timer: NodeJS.Timeout | undefined;
  let nowMs = 0;

  const tick = (): void => {
    nowMs = performance.now();
    for (const watched of all) watched.tick(nowMs);
    if (all.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };

  return {
    now: () => nowMs,
    add(watched) {
      nowMs = performance.now();
      all.add(watched);
      timer ??= setInterval(tick, tickMs);
    },
    delete: (watched) => void all.delete(watched),
  };
}
