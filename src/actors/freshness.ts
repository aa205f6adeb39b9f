// How old what is known of an actor is, and whether that is still good enough.

import type { Directory, Known } from "./directory.js";
import type { Source } from "./source.js";
import { isToCome } from "./to-come.js";

/**
 * `fresh`: as good as asking. `stale`: served, and asked for anew meanwhile. `expired`: not served any more unless its source
 * confirms it.
 */
export type Freshness = "fresh" | "stale" | "expired";

export interface FreshnessRules {
  /** Of the actor; with a hash, as the holder of that token. */
  of(known: Known, tokenHash?: string): Freshness;
}

export interface FreshnessOptions {
  /** How long an actor is served without asking its source again, where the source does not say. */
  readonly cacheTtlMs: number;
  /** How long it is served when the source cannot be asked. */
  readonly maxStaleMs: number;
  /** Time from one sync to the next. */
  readonly syncIntervalMs: number;
}

/** So many syncs may fail before actors are asked for one by one, and at least so much time must pass. */
const missedSyncs = 3;
const leastMissedMs = 60_000;
/** From the beginning of one sync to the end of the next are no more intervals than this. */
const lateSyncs = 2;

/** `now` by the store's clock. */
export function createFreshness(
  parts: {
    readonly sources: readonly Source[];
    readonly directory: Pick<Directory, "sync">;
    readonly now: () => number;
  },
  options: FreshnessOptions,
): FreshnessRules {
  const { directory, now } = parts;
  const { cacheTtlMs, maxStaleMs, syncIntervalMs } = options;
  const ofListed = rule(
    true,
    Math.min(cacheTtlMs, Math.max(missedSyncs * syncIntervalMs, leastMissedMs)),
    lateSyncs * syncIntervalMs,
  );
  const rules = new Map(
    parts.sources.map(({ name, list, staleAfterMs }) => {
      const staleMs = Math.min(staleAfterMs ?? cacheTtlMs, cacheTtlMs);
      return [name, list === undefined ? rule(false, staleMs, staleMs) : ofListed];
    }),
  );
  // Of a source that is no longer configured: nobody keeps it fresh.
  const ofNone = rule(false, cacheTtlMs, 0);

  /** What was confirmed within `goodMs` is as its source wants it, however short the time is for when that cannot be asked. */
  function rule(listed: boolean, staleMs: number, goodMs: number) {
    return { listed, staleMs, expiredMs: Math.max(maxStaleMs, Math.min(staleMs, goodMs)) };
  }

  return {
    of(known, tokenHash) {
      const { listed, staleMs, expiredMs } = rules.get(known.source) ?? ofNone;
      const { unlistedAt } = known;
      if (listed && unlistedAt !== undefined) {
        // The source is asked for it only in the end: a listing that is wrong may come with answers that are wrong.
        const told = known.told.updatedAt.getTime();
        const confirmedAt = isToCome(told, now()) ? unlistedAt : Math.max(told, unlistedAt);
        return now() - confirmedAt > maxStaleMs ? "expired" : "fresh";
      }
      const told = confirmedAtOf(known, tokenHash);
      const confirmedAt = listed ? Math.max(told, directory.sync(known.source)?.completedAt ?? 0) : told;
      // Nobody knows its age.
      if (isToCome(confirmedAt, now())) return "stale";
      const age = now() - confirmedAt;
      if (age > expiredMs) return "expired";
      return age > staleMs * spread(known.id) ? "stale" : "fresh";
    },
  };
}

function confirmedAtOf({ told, tokenHashes, tokenTimes }: Known, tokenHash: string | undefined): number {
  const at = tokenTimes === undefined || tokenHash === undefined ? -1 : tokenHashes.indexOf(tokenHash);
  return tokenTimes?.[at] ?? told.updatedAt.getTime();
}

/** 0.9 to 1, always the same for an actor: those that were told of together are not asked for together. */
function spread(id: string): number {
  let sum = 0;
  for (let at = 0; at < id.length; at++) sum = (sum * 31 + id.charCodeAt(at)) % 1_009;
  return 0.9 + sum / 10_090;
}
