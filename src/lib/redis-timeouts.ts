import { createDueList, type Due } from "./due-list.js";

/** Timeouts that are all equally long. */
export interface Timeouts<T> {
  /** Calls back when the time is over, unless `item` is removed by then. Sets its `dueAt`. */
  add(item: T): void;
  /** What was added and not called back for. */
  remove(item: T): void;
}

/** A timer that fires this late does so because the process was busy: what came in meanwhile is looked at first. */
const busyMs = 10;

/** One timer for all: those equally long end in the order they began. */
export function createTimeouts<T extends Due>(timeoutMs: number, onTimeout: (item: T) => void): Timeouts<T> {
  const waiting = createDueList<T>();
  let running = false;

  function wait(): void {
    const { first } = waiting;
    running = first !== undefined;
    if (first === undefined) return;
    setTimeout(fire, Math.max(0, Math.ceil(first.dueAt - performance.now())), first.dueAt).unref();
  }

  function fire(dueAt: number): void {
    const now = performance.now();
    if (now - dueAt > busyMs) setImmediate(() => end(now));
    else end(now);
  }

  /** Ends what was due by `now`. What became due since has to be looked for first. */
  function end(now: number): void {
    for (let next = waiting.first; next !== undefined && next.dueAt <= now; next = waiting.first) {
      waiting.remove(next);
      onTimeout(next);
    }
    wait();
  }

  return {
    add(item) {
      item.dueAt = performance.now() + timeoutMs;
      waiting.add(item);
      if (!running) wait();
    },
    remove: (item) => waiting.remove(item),
  };
}
