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

/** A sync that ended. */
export interface SyncSummary {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: SyncOutcome;
  readonly counts: SyncCounts;
  /** What went wrong, in words without secrets. */
  readonly error?: string;
  /** The process that did it. */
  readonly process: string;
  readonly dryRun: boolean;
}

/** A sync that is under way, unless its process died: its lease tells. */
export interface RunningSync {
  /** Sets it apart from the source's other syncs. */
  readonly id: string;
  readonly startedAt: number;
  readonly process: string;
  readonly dryRun: boolean;
  readonly allowShrink: boolean;
  readonly counts: SyncCounts;
}

/** How a source's sync stands. */
export interface SyncState {
  readonly running?: RunningSync;
  /** The last one that ended. */
  readonly last?: SyncSummary;
  /** When the last sync ended that listed everything and took it over: how old what is known of the source is. */
  readonly completedAt?: number;
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
