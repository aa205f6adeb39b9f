import type { AbandonedHold, QuotaStore } from "./store.js";

/** Abandoned holds settled in one call of the store. */
const batchSize = 100;

/** Settles abandoned holds every `sweepMs`, and tells of each. Returns what ends it. */
export function startSweep(
  { store, onAbandoned }: { store: Pick<QuotaStore, "reap">; onAbandoned: (hold: AbandonedHold) => void },
  { sweepMs }: { sweepMs: number },
): () => void {
  let sweeping = false;

  async function sweep(): Promise<void> {
    if (sweeping) return;
    sweeping = true;
    try {
      let found: readonly AbandonedHold[];
      do {
        found = await store.reap(batchSize);
        for (const hold of found) onAbandoned(hold);
      } while (found.length === batchSize);
    } catch {
      // The store is away. What is abandoned waits for the next sweep.
    } finally {
      sweeping = false;
    }
  }

  const timer = setInterval(() => void sweep(), sweepMs).unref();
  return () => clearInterval(timer);
}
