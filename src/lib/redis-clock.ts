/** Another machine's clock, as far as its answers tell. */
export interface RemoteClock {
  /** Whether it has been learned. Until then `now` is this machine's time. */
  readonly known: boolean;
  /** ms since the epoch; never ahead of the other clock, and behind it by no more than the fastest answer of late took. */
  now(): number;
  /** An answer came just now that tells the other clock's time. */
  learn(remoteMs: number): void;
  /** What was learned may not hold any more: the next answer counts alone. */
  relearn(): void;
}

/**
 * An answer took its time to get here, so the other clock is at least where the answer says: of all answers of late, the
 * one that says most is the closest. Ages are measured by the monotonic clock: this machine's time may be set or be wrong.
 */
export function createRemoteClock({
  monotonic = () => performance.now(),
  /** How long an answer counts, at least; at most twice that. */
  windowMs = 5_000,
  wall = Date.now,
} = {}): RemoteClock {
  let newest = -Infinity;
  let older = -Infinity;
  let newestSince = monotonic();
  let stale = false;

  return {
    get known() {
      return newest > -Infinity;
    },
    now() {
      const offset = Math.max(newest, older);
      return Math.floor(offset === -Infinity ? wall() : monotonic() + offset);
    },
    learn(remoteMs) {
      const at = monotonic();
      if (stale) {
        stale = false;
        older = -Infinity;
        newest = -Infinity;
        newestSince = at;
      } else if (at - newestSince >= windowMs) {
        older = newest;
        newest = -Infinity;
        newestSince = at;
      }
      newest = Math.max(newest, remoteMs - at);
    },
    relearn() {
      stale = true;
    },
  };
}
