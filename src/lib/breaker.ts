/** Keeps calls away from something that does not answer, and finds out by itself when it does again. */
export interface Breaker {
  /** Whether calls should not be made. */
  readonly open: boolean;
  /** A call was answered. */
  succeeded(): void;
  /** A call was not answered, or with "not now". Answers to calls made before it opened change nothing any more. */
  failed(): void;
  /** Something changed for the better: while open, asks at once. */
  hint(): void;
  /** Asks no more. */
  stop(): void;
}

export interface BreakerParts {
  /** Asks whether calls would be answered; rejects when not. Must settle within the time between two. */
  readonly probe: () => Promise<unknown>;
  readonly onChange?: (open: boolean) => void;
  /** ms; never goes back. Default `performance.now`. */
  readonly monotonic?: () => number;
}

export interface BreakerOptions {
  /** Opens after so many failures in a row. Default 10. */
  readonly inARow?: number;
  /** Opens when this share of the calls of `windowMs` failed, if they were `minCalls` or more. Default 0.5 of 20 in 1 s. */
  readonly share?: number;
  readonly minCalls?: number;
  readonly windowMs?: number;
  /** Time between two probes while open. Default 250 ms. */
  readonly probeMs?: number;
}

/** A breaker that starts closed: nothing is known against what it guards. */
export function createBreaker(parts: BreakerParts, options: BreakerOptions = {}): Breaker {
  const { probe, onChange, monotonic = () => performance.now() } = parts;
  const { inARow = 10, share = 0.5, minCalls = 20, windowMs = 1_000, probeMs = 250 } = options;
  const recent = createRecentCounts(windowMs, monotonic);
  let row = 0;
  let open = false;
  let stopped = false;
  let probing = false;
  let timer: NodeJS.Timeout | undefined;

  function set(next: boolean): void {
    open = next;
    row = 0;
    recent.clear();
    clearInterval(timer);
    if (open) timer = setInterval(ask, probeMs).unref();
    onChange?.(open);
  }

  function ask(): void {
    if (!open || probing) return;
    probing = true;
    probe()
      .then(
        () => open && !stopped && set(false),
        () => undefined,
      )
      .finally(() => {
        probing = false;
      });
  }

  return {
    get open() {
      return open;
    },
    succeeded() {
      row = 0;
      if (!open) recent.add(0);
    },
    failed() {
      if (open || stopped) return;
      row++;
      const { calls, failures } = recent.add(1);
      if (row >= inARow || (calls >= minCalls && failures >= calls * share)) set(true);
    },
    hint: ask,
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

interface Counts {
  calls: number;
  failures: number;
}

/** Counts of the last `windowMs`, to a tenth of it. */
function createRecentCounts(windowMs: number, monotonic: () => number) {
  const parts = 10;
  const slices: Counts[] = Array.from({ length: parts }, () => ({ calls: 0, failures: 0 }));
  const sum: Counts = { calls: 0, failures: 0 };
  let current = 0;

  function forget(slice: Counts): void {
    sum.calls -= slice.calls;
    sum.failures -= slice.failures;
    slice.calls = 0;
    slice.failures = 0;
  }

  function turnTo(slice: number): void {
    for (let passed = Math.min(slice - current, parts); passed > 0; passed--)
      forget(slices[(slice - passed + 1) % parts] as Counts);
    current = slice;
  }

  return {
    /** Counts one call; returns the sums. */
    add(failures: 0 | 1): Readonly<Counts> {
      const slice = Math.floor((monotonic() / windowMs) * parts);
      if (slice > current) turnTo(slice);
      const counts = slices[current % parts] as Counts;
      counts.calls++;
      counts.failures += failures;
      sum.calls++;
      sum.failures += failures;
      return sum;
    },
    clear(): void {
      for (const slice of slices) forget(slice);
    },
  };
}
