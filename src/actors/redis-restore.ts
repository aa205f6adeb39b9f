// What happens when Redis has lost everything, and processes still know it.

import { randomUUID } from "node:crypto";
import { type ActorStore, type Lease, maxRecords, type StoreListener, type StoreRecord } from "./store.js";

export interface RestoreParts {
  readonly acquire: ActorStore["acquire"];
  /** Whether the data has no name, as after Redis lost it. */
  readonly isLost: () => Promise<boolean>;
  /** Has what is kept for good kept again. */
  readonly keepAgain: () => Promise<void>;
  /** Writes those of the records that are not there. Rejects when the lease is lost. */
  readonly fill: (records: readonly StoreRecord[], lease: Lease) => Promise<void>;
  /** Names the data; tells its name, or nothing when somebody else restores it. */
  readonly begin: (era: string, lease?: Lease) => Promise<string>;
  /** Records were written again. */
  readonly onRestored: (records: number) => void;
}

export interface Restore {
  /** Writes again what the listener knows, unless somebody else has by now. False: somebody else is at it. */
  restore(listener: StoreListener): Promise<boolean>;
  /** Names data that has no name. Undefined: it still has none. */
  name(): Promise<string | undefined>;
}

/** Only one process at a time restores. */
export const restoreLease = "restore";
const ttlMs = 10_000;
/**
 * Who knows nothing does not say at once that this is how it should be: when Redis has lost everything, a process that has
 * just started must not be faster than those who know.
 */
const graceMs = 2_000;

/**
 * Data has a name, its era. Redis has lost everything when it has no era and a process knows one: then the first process to
 * notice writes what it knows, and names the data anew. The others read it from there. Nothing of this is done when Redis has
 * lost a part, as a replica does that was promoted too early: what it has then counts.
 */
export function createRestore({ acquire, isLost, keepAgain, fill, begin, onRestored }: RestoreParts): Restore {
  let namelessSince: number | undefined;

  async function restoreUnder(lease: Lease, listener: StoreListener): Promise<void> {
    // Who had the lease before may have restored it since we saw that it was lost. What was removed after that stays removed.
    if (!(await isLost())) return;
    // First: records are worth nothing to who hashes tokens with another key.
    await keepAgain();
    let written = 0;
    for (const records of slices(listener.records?.() ?? [])) {
      await fill(records, lease);
      written += records.length;
      await lease.extend();
    }
    await begin(randomUUID(), lease);
    onRestored(written);
  }

  return {
    async restore(listener) {
      const lease = await acquire(restoreLease, { ttlMs, holder: String(process.pid) });
      if (lease === undefined) return false;
      try {
        await restoreUnder(lease, listener);
      } finally {
        // Also when Redis did not take it all: whoever comes next goes on at once.
        await lease.release().catch(() => {});
      }
      return true;
    },
    async name() {
      namelessSince ??= performance.now();
      if (performance.now() - namelessSince < graceMs) return undefined;
      const era = await begin(randomUUID());
      namelessSince = undefined;
      return era === "" ? undefined : era;
    },
  };
}

function* slices(records: Iterable<StoreRecord>): Iterable<readonly StoreRecord[]> {
  let slice: StoreRecord[] = [];
  for (const record of records) {
    slice.push(record);
    if (slice.length < maxRecords) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}
