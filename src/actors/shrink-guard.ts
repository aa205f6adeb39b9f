// Keeps a sync from removing actors that are missing in its listing by mistake.

import type { SyncHold } from "./sync-state.js";

/** A whole listing, against what was known. */
export interface Shrinkage {
  /** Actors of the source that were known before. */
  readonly known: number;
  /** Of these, how many the listing lacks. */
  readonly missing: number;
  /** Entries of the listing, whatever they are. */
  readonly listed: number;
  /** Entries of which it cannot be told whose they are: each may be one of the missing. */
  readonly nameless: number;
}

/** So few may always be removed, whatever their share. */
const few = 10;

/** Why the missing must stay; undefined when they may be removed. `allowedShare` is between 0 and 1. */
export function holdOf(shrinkage: Shrinkage, allowedShare: number): SyncHold | undefined {
  const { known, missing, listed, nameless } = shrinkage;
  if (missing === 0) return undefined;
  const reason = reasonOf();
  return reason === undefined ? undefined : { reason, wouldRemove: missing, known, allowedShare };

  function reasonOf(): string | undefined {
    if (listed === 0) return `the source lists nobody, and ${known} actors are known`;
    if (missing > few && missing > known * allowedShare)
      return `the source no longer lists ${missing} of ${known} actors, more than ${percent(allowedShare)}`;
    if (nameless > 0)
      return `the source lists ${nameless} entries without an id, which may be among the ${missing} actors that are missing`;
    return undefined;
  }
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))}%`;
}
