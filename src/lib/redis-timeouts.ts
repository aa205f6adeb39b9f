/** Timeouts that are all equally long. */
export interface Timeouts<T> {
  /** Calls back when the time is over, unless `item` is settled by then. */
  add(item: T): void;
}

/** A timer that fires this late does so because the process was busy: what came in meanwhile is looked at first. */
const busyMs = 10;

/** One timer for all: those equally long end in the order they began. */
export function createTimeouts<T extends { readonly settled: boolean }>(
  timeoutMs: number,
  onTimeout: (item: T) => void,
): Timeouts<T> {
  let waiting: { readonly item: T; readonly dueAt: number }[] = [];
  let first = 0;
  let running = false;

  function wait(): void {
    while (waiting[first]?.item.settled) first++;
    const next = waiting[first];
    if (next === undefined) {
      waiting = [];
      first = 0;
    }
    running = next !== undefined;
    if (next === undefined) return;
    // The list keeps what is settled; dropped here, so that it stays as long as what a timeout spans.
    waiting = waiting.slice(first);
    first = 0;
    setTimeout(fire, Math.max(0, Math.ceil(next.dueAt - performance.now())), next.dueAt).unref();
  }

  function fire(dueAt: number): void {
    const now = performance.now();
    if (now - dueAt > busyMs) setImmediate(() => end(now));
    else end(now);
  }

  /** Ends what was due by `now`. What became due since has to be looked for first. */
  function end(now: number): void {
    for (let next = waiting[first]; next !== undefined && next.dueAt <= now; next = waiting[first]) {
      first++;
      if (!next.item.settled) onTimeout(next.item);
    }
    wait();
  }

  return {
    add(item) {
      waiting.push({ item, dueAt: performance.now() + timeoutMs });
      if (!running) wait();
    },
  };
}
