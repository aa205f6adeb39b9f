/** Another machine's clock, as far as its answers tell. */
export interface RemoteClock {
  /** Whether it has been learned. Until then `now` and `latest` are this machine's time. */
  readonly known: boolean;
  /** ms since the epoch; never ahead of the other clock, and behind it by no more than the fastest answer of late took. */
  now(): number;
  /**
   * ms since the epoch; never behind the other clock, and ahead of it by no more than the fastest question of late took to
   * get there. How late this process reads answers does not matter here.
   */
  latest(): number;
  /** An answer came just now that tells the other clock's time, to what was sent at `sentAt` by the monotonic clock. */
  learn(remoteMs: number, sentAt: number): void;
  /** What was learned may not hold any more: the next answer counts alone. */
  relearn(): void;
}

/** How far the other clock is ahead of the monotonic one: at least, and at most. */
interface Bounds {
  readonly least: number;
  readonly most: number;
}

const unknown: Bounds = { least: -Infinity, most: Infinity };

/**
 * The other clock showed what an answer says at some moment between question and answer: of all answers of late, those that
 * say most about either side are the closest. An answer that contradicts them tells that the other clock was set. Ages are
 * measured by the monotonic clock: this machine's time may be set or be wrong.
 */
export function createRemoteClock({
  monotonic = () => performance.now(),
  /** How long an answer counts, at least; at most twice that. */
  windowMs = 5_000,
  wall = Date.now,
} = {}): RemoteClock {
  let newest = unknown;
  let older = unknown;
  let newestSince = monotonic();
  let stale = false;
  const isKnown = (): boolean => newest !== unknown || older !== unknown;
  const least = (): number => Math.max(newest.least, older.least);
  const most = (): number => Math.min(newest.most, older.most);

  return {
    get known() {
      return isKnown();
    },
    now: () => Math.floor(isKnown() ? monotonic() + least() : wall()),
    latest: () => Math.ceil(isKnown() ? monotonic() + most() : wall()),
    learn(remoteMs, sentAt) {
      const at = monotonic();
      // The other clock tells whole milliseconds that have begun.
      const told = { least: remoteMs - at, most: remoteMs + 1 - sentAt };
      if (stale || told.least > most() || told.most < least()) {
        stale = false;
        older = unknown;
        newest = unknown;
        newestSince = at;
      } else if (at - newestSince >= windowMs) {
        older = newest;
        newest = unknown;
        newestSince = at;
      }
      newest = { least: Math.max(newest.least, told.least), most: Math.min(newest.most, told.most) };
    },
    relearn() {
      stale = true;
    },
  };
}
