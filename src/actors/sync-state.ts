// What every process can know of a source's sync, whichever process does it. Times are ms since the epoch by the store's clock.

/** Numbers of a sync. */
export interface SyncCounts {
  readonly pages: number;
  /** Actors listed so far. */
  readonly seen: number;
  readonly added: number;
  readonly changed: number;
  readonly unchanged: number;
  /** Actors the source no longer lists. */
  readonly removed: number;
  /** Entries that make no sense and were left out. */
  readonly quarantined: number;
  /** How many actors there will be, by the last sync or as the source says. */
  readonly estimatedTotal?: number;
}

/** How a sync ended: `held` is one whose removals the shrink guard stopped. */
export type SyncOutcome = "succeeded" | "held" | "failed" | "canceled";

/** Why what a listing lacks was not removed. */
export interface SyncHold {
  /** In words. */
  readonly reason: string;
  readonly wouldRemove: number;
  /** Actors of the source before the sync. */
  readonly known: number;
  /** The greatest share of `known` that is removed unasked, 0 to 1. */
  readonly allowedShare: number;
}

/** A sync that ended. */
export interface SyncSummary {
  /** As `RunningSync.id`. */
  readonly id: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: SyncOutcome;
  readonly counts: SyncCounts;
  /** What went wrong, in words without secrets. */
  readonly error?: string;
  /** The process that did it. */
  readonly process: string;
  readonly dryRun: boolean;
  /** With the outcome `held`. */
  readonly hold?: SyncHold;
}

/** A sync that is under way, unless its process died. */
export interface RunningSync {
  /** Sets it apart from the source's other syncs. */
  readonly id: string;
  readonly startedAt: number;
  readonly process: string;
  readonly dryRun: boolean;
  readonly allowShrink: boolean;
  readonly counts: SyncCounts;
  /** When it counts as dead unless it was told anew by then. */
  readonly until: number;
}

/** How a source's sync stands. */
export interface SyncState {
  readonly running?: RunningSync;
  /** The last one that ended and was to change something. */
  readonly last?: SyncSummary;
  readonly lastDryRun?: SyncSummary;
  /** When the last sync began that had the whole listing and took it over: that old is what is known of the source. */
  readonly completedAt?: number;
  /** `pepperMark` of the pepper that this sync hashed tokens with. */
  readonly pepper?: string;
  /** How many failed in a row. */
  readonly failures?: number;
  /** When the next is due. */
  readonly nextAt?: number;
}

/** Nothing counted yet. */
export const noSyncCounts: SyncCounts = {
  pages: 0,
  seen: 0,
  added: 0,
  changed: 0,
  unchanged: 0,
  removed: 0,
  quarantined: 0,
};
