// What those are told who watch a sync.

import { createQueue } from "../lib/queue.js";
import type { SyncChange } from "./sync-run.js";
import type { RunningSync, SyncCounts, SyncHold, SyncSummary } from "./sync-state.js";

/** One event of one source's sync: `started` first and `finished` last, each once. */
export type SyncEvent = { readonly source: string } & (
  | { readonly kind: "started"; readonly startedAt: number; readonly process: string; readonly joined: boolean }
  /** A few times a second. `changes`: in a dry run, what would change, since the last event. */
  | { readonly kind: "progress"; readonly counts: SyncCounts; readonly changes: readonly SyncChange[] }
  | { readonly kind: "held"; readonly hold: SyncHold }
  | { readonly kind: "finished"; readonly summary: SyncSummary }
);

/** Tells any number of watchers of one sync. */
export interface SyncAudience {
  progress(counts: SyncCounts, changes: readonly SyncChange[]): void;
  finished(summary: SyncSummary): void;
  /** The events from now on, `started` first. Watchers may leave. */
  join(joined: boolean): AsyncIterable<SyncEvent>;
}

export function createSyncAudience(
  source: string,
  { startedAt, process }: Pick<RunningSync, "startedAt" | "process">,
): SyncAudience {
  const watchers = new Set<ReturnType<typeof createQueue<SyncEvent>>>();
  let summary: SyncSummary | undefined;
  const tell = (event: SyncEvent): void => {
    for (const watcher of watchers) watcher.push(event);
  };
  return {
    progress: (counts, changes) => tell({ source, kind: "progress", counts, changes }),
    finished(ended) {
      summary = ended;
      for (const event of endOf(source, ended)) tell(event);
      for (const watcher of watchers) watcher.end();
    },
    join(joined) {
      // Made at once: what happens until the watcher begins to read must reach it.
      const queue = createQueue<SyncEvent>(Number.POSITIVE_INFINITY);
      queue.push({ source, kind: "started", startedAt, process, joined });
      if (summary === undefined) watchers.add(queue);
      else {
        for (const event of endOf(source, summary)) queue.push(event);
        queue.end();
      }
      return readUntilLeft(queue, () => watchers.delete(queue));
    },
  };
}

async function* readUntilLeft<T>(items: AsyncIterable<T>, onLeft: () => void): AsyncGenerator<T> {
  try {
    yield* items;
  } finally {
    onLeft();
  }
}

/** The events with which a sync ends. */
export function endOf(source: string, summary: SyncSummary): readonly SyncEvent[] {
  const { hold, counts } = summary;
  return [
    { source, kind: "progress", counts, changes: [] },
    ...(hold ? [{ source, kind: "held", hold } as const] : []),
    { source, kind: "finished", summary },
  ];
}
