/** Time as deadlines count it: it stands still while the process does, so that nobody is late for what we did not read. */
export interface SweepClock {
  /** As of now. */
  now(): number;
  /** As of the last sweep, without asking the system: good enough for what takes many sweeps. */
  readonly swept: number;
  /** Milliseconds between the last two sweeps, as the system counts them. */
  readonly elapsedMs: number;
  /** A sweep begins. */
  advance(): void;
}

/** Goes on by two intervals between two sweeps at most. */
export function createSweepClock(sweepMs: number, system: () => number = () => performance.now()): SweepClock {
  let systemBefore = system();
  let swept = 0;
  let elapsedMs = sweepMs;
  return {
    now: () => swept + Math.min(system() - systemBefore, 2 * sweepMs),
    get swept() {
      return swept;
    },
    get elapsedMs() {
      return elapsedMs;
    },
    advance() {
      const systemNow = system();
      elapsedMs = systemNow - systemBefore;
      systemBefore = systemNow;
      swept += Math.min(elapsedMs, 2 * sweepMs);
    },
  };
}
