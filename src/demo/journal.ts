// What the demo upstream remembers: its calls, who is waiting for one, and how many ran at the same time.

import type { DemoCall } from "./call.js";

/** The memory of one demo upstream. */
export interface Journal {
  readonly calls: readonly DemoCall[];
  /** Records a call as it arrives. */
  add(call: DemoCall): void;
  /** Says that a call became readable: whoever waits for the next call gets it. */
  arrived(call: DemoCall): void;
  /** Says that something changed, so that predicates are asked again. */
  changed(): void;
  /** The next call that nobody was given yet; waits for it. */
  next(timeoutMs: number): Promise<DemoCall>;
  /** The first call for which the predicate holds; waits for it. */
  find(predicate: (call: DemoCall) => boolean, timeoutMs: number): Promise<DemoCall>;
  /** Counts a call as in flight for its end user until it is over. */
  track(endUser: string | undefined, call: DemoCall): void;
  count(endUser?: string): number;
  inFlight(endUser?: string): number;
  highWater(endUser?: string): number;
  clear(): void;
}

interface Counts {
  calls: number;
  inFlight: number;
  highWater: number;
}

type Accepts = (call: DemoCall) => boolean;

interface Waiter {
  offer(call: DemoCall): boolean;
}

/** A journal that keeps the last `keep` calls; counts are kept for all of them. */
export function createJournal(keep: number): Journal {
  let calls: DemoCall[] = [];
  let fresh: DemoCall[] = [];
  const takers = new Set<Waiter>();
  const finders = new Set<Waiter>();
  const counts = new Map<string | undefined, Counts>();

  const countsOf = (endUser: string | undefined): Counts => {
    let found = counts.get(endUser);
    if (!found) {
      found = { calls: 0, inFlight: 0, highWater: 0 };
      counts.set(endUser, found);
    }
    return found;
  };

  const waiting = (what: string, timeoutMs: number, waiters: Set<Waiter>, accepts: Accepts): Promise<DemoCall> =>
    new Promise((resolve, reject) => {
      const waiter: Waiter = {
        offer(call) {
          if (!accepts(call)) return false;
          waiters.delete(waiter);
          clearTimeout(timer);
          resolve(call);
          return true;
        },
      };
      waiters.add(waiter);
      const timer = setTimeout(() => {
        waiters.delete(waiter);
        reject(new Error(`${what} within ${timeoutMs} ms; there were ${calls.length} calls: ${describe(calls)}`));
      }, timeoutMs);
    });

  const leave = async (call: DemoCall, tracked: readonly Counts[]): Promise<void> => {
    await call.over;
    for (const one of tracked) one.inFlight--;
  };

  return {
    get calls() {
      return calls;
    },
    add(call) {
      calls.push(call);
      if (calls.length > keep * 2) calls = calls.slice(-keep);
    },
    arrived(call) {
      const [taker] = takers;
      if (!taker?.offer(call)) {
        fresh.push(call);
        if (fresh.length > keep * 2) fresh = fresh.slice(-keep);
      }
      this.changed();
    },
    changed() {
      for (const finder of finders) calls.some((call) => finder.offer(call));
    },
    async next(timeoutMs) {
      const first = fresh.shift();
      if (first) return first;
      return waiting("no call came", timeoutMs, takers, () => true);
    },
    async find(predicate, timeoutMs) {
      const found = calls.find(predicate);
      if (found) return found;
      return waiting("no call was as expected", timeoutMs, finders, predicate);
    },
    track(endUser, call) {
      const tracked = endUser === undefined ? [countsOf(undefined)] : [countsOf(undefined), countsOf(endUser)];
      for (const one of tracked) {
        one.calls++;
        one.inFlight++;
        one.highWater = Math.max(one.highWater, one.inFlight);
      }
      void leave(call, tracked);
    },
    count: (endUser) => countsOf(endUser).calls,
    inFlight: (endUser) => countsOf(endUser).inFlight,
    highWater: (endUser) => countsOf(endUser).highWater,
    clear() {
      calls = [];
      fresh = [];
      // Calls under way go on counting in the entries they were given.
      counts.clear();
    },
  };
}

function describe(calls: readonly DemoCall[]): string {
  return calls
    .slice(-10)
    .map(({ method, path, status, state }) => `${method} ${path} ${status ?? "-"} ${state}`)
    .join(", ");
}
