/** Calls `run` for each source when its sync is due. */
export interface SyncSchedule {
  /** When the source's sync is due changed. */
  changed(source: string): void;
  close(): void;
}

export interface SyncScheduleParts {
  readonly sources: readonly string[];
  readonly now: () => number;
  /** When the source's next sync is due, by what is known now. */
  readonly dueAt: (source: string) => number;
  /** Does the sync, or finds that another process does. Must not reject. */
  readonly run: (source: string) => Promise<void>;
}

/** At least so long between two tries, so that a sync that cannot begin is not tried all the time. */
const pauseMs = 1_000;
/** Processes come so much after one another: the first does the sync, and the others find it done. */
const spreadMs = 200;
/** Longer waits are made of several: a machine that was suspended, or whose clock was set, has not waited all the time. */
const maxWaitMs = 5_000;

/** Begins at once. */
export function startSyncSchedule({ sources, now, dueAt, run }: SyncScheduleParts): SyncSchedule {
  const timers = new Map<string, NodeJS.Timeout>();
  const busy = new Set<string>();
  let closed = false;

  function arm(source: string, leastMs: number): void {
    clearTimeout(timers.get(source));
    if (closed || busy.has(source)) return;
    const wait = Math.max(dueAt(source) - now(), leastMs) + Math.random() * spreadMs;
    timers.set(source, setTimeout(() => fire(source), Math.min(wait, maxWaitMs)).unref());
  }

  function fire(source: string): void {
    if (dueAt(source) > now()) return arm(source, 0);
    busy.add(source);
    void run(source).then(() => {
      busy.delete(source);
      arm(source, pauseMs);
    });
  }

  for (const source of sources) arm(source, 0);
  return {
    changed: (source) => sources.includes(source) && arm(source, 0),
    close() {
      closed = true;
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}
