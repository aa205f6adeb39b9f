// A sync that another process does, as this one can watch it.

import type { Directory } from "./directory.js";
import type { ActorStore } from "./store.js";
import { subscribeChanges } from "./sync-changes.js";
import { endOf, type SyncEvent } from "./sync-events.js";
import { leaseMs } from "./sync-leader.js";
import type { SyncChange } from "./sync-run.js";
import type { RunningSync, SyncState, SyncSummary } from "./sync-state.js";
import { isToCome } from "./to-come.js";

export interface SyncFollowerParts {
  readonly store: Pick<ActorStore, "now" | "subscribe">;
  readonly directory: Pick<Directory, "sync" | "onChange">;
}

/** What is found last may arrive after the end of a sync is known: it is waited for so long. */
const lastChangesMs = 1_000;

/** The events of a sync that another process does. Should that process die, it ends as failed. */
export async function* followSync(
  { store, directory }: SyncFollowerParts,
  source: string,
  running: RunningSync,
): AsyncGenerator<SyncEvent> {
  const { id, startedAt, process, dryRun } = running;
  const wake = createWake();
  const changes: SyncChange[] = [];
  let heardAll = !dryRun;
  const unsubscribe = subscribeChanges(store, source, (found) => {
    if (found.id !== id) return;
    changes.push(...found.changes);
    heardAll ||= found.last;
    wake.now();
  });
  const unlisten = directory.onChange((change) => {
    if (change.kind === "sync" && change.source === source) wake.now();
  });
  let { counts } = running;
  const lost = (): SyncSummary => {
    const error = "the process that did it has ended";
    return { id, startedAt, endedAt: store.now(), outcome: "failed", counts, error, process, dryRun };
  };
  try {
    yield { source, kind: "started", startedAt, process, joined: true };
    for (;;) {
      const state = directory.sync(source);
      const alive = runningOf(state, store.now());
      const ended = endedIn(state, id);
      if (ended && !heardAll) await wake.wait(lastChangesMs);
      if (changes.length > 0) yield { source, kind: "progress", counts, changes: changes.splice(0) };
      if (ended || alive?.id !== id) return yield* endOf(source, ended ?? lost());
      if (alive.counts !== counts) {
        counts = alive.counts;
        yield { source, kind: "progress", counts, changes: [] };
      }
      await wake.wait(leaseMs);
    }
  } finally {
    unsubscribe();
    unlisten();
  }
}

/** The sync that is under way by what is known, in whatever process. */
export function runningOf(state: SyncState | undefined, now: number): RunningSync | undefined {
  const { running } = state ?? {};
  return running && running.until > now && !isToCome(running.until - leaseMs, now) ? running : undefined;
}

function endedIn(state: SyncState | undefined, id: string): SyncSummary | undefined {
  return [state?.last, state?.lastDryRun].find((each) => each?.id === id);
}

/** Something to wait for that others can end. */
function createWake() {
  let woken = false;
  let resume: (() => void) | undefined;
  return {
    now(): void {
      woken = true;
      resume?.();
    },
    async wait(timeoutMs: number): Promise<void> {
      if (!woken) {
        await new Promise<void>((resolve) => {
          resume = resolve;
          setTimeout(resolve, timeoutMs).unref();
        });
      }
      woken = false;
      resume = undefined;
    },
  };
}
