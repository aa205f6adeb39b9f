// Keeps what is known of the actors of a source that can list them as the source has it: in turns, by one process at a time.

import { SyncRefusedError, UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import { merged } from "../lib/merged.js";
import type { Directory } from "./directory.js";
import { describeFailure } from "./failure.js";
import { pepperMark } from "./pepper.js";
import type { Source } from "./source.js";
import type { ActorStore, Lease } from "./store.js";
import type { SyncEvent } from "./sync-events.js";
import { followSync, runningOf } from "./sync-follower.js";
import { type LedSync, leadSync, leaseMs, type SyncOptions } from "./sync-leader.js";
import type { ListingSource } from "./sync-run.js";
import { type SyncSchedule, startSyncSchedule } from "./sync-schedule.js";
import type { SyncOutcome, SyncState, SyncSummary } from "./sync-state.js";
import { isToCome } from "./to-come.js";
import type { TokenHasher } from "./token.js";

/** The syncs of all sources that can list their actors. */
export interface Syncs {
  /** Names of these sources. */
  readonly sources: readonly string[];
  /**
   * Syncs a source, or without a name all of them, and tells how it goes; joins a sync that is under way, in whatever
   * process. Leaving the loop does not stop it. Throws `SyncRefusedError`, or `UnavailableError` when the store cannot be
   * asked.
   */
  sync(source: string | undefined, options?: Partial<SyncOptions>): AsyncIterable<SyncEvent>;
  /** How the source's sync stands, whichever process does it. */
  state(source: string): SyncState;
  /** The process that has the right to sync the source now. */
  holder(source: string): Promise<string | undefined>;
  /** Begins to sync on schedule. */
  start(): void;
  /** Ends the syncs of this process. */
  close(): Promise<void>;
}

export interface SyncsParts {
  readonly sources: readonly Source[];
  readonly store: ActorStore;
  readonly directory: Directory;
  readonly hasher: TokenHasher;
  readonly log: Log;
  /** This process, as others see it. */
  readonly process: string;
  /** Told of each sync of this process that ended. Must not throw. */
  readonly onEnded?: (source: string, summary: SyncSummary) => void;
}

export interface SyncsOptions {
  /** Time from one sync to the next. */
  readonly intervalMs: number;
  /** Share of a source's actors that may go missing, 0 to 1. */
  readonly shrinkGuard: number;
  /** Longest time from one page of a listing to the next. Default 60 s. */
  readonly pageMs?: number;
}

/** A sync that failed is tried again after this time, doubled for each that failed before it. */
const retryMs = 10_000;
/** Intervals are so much longer or shorter, so that sources do not hear from all gateways at once. */
const leastJitter = 0.9;
const mostJitter = 1.1;
/** How long a sync of another process is waited for that has the lease and told nothing yet. */
const appearMs = 3_000;

/** Call `start` once the store has told what there is. */
export function createSyncs(parts: SyncsParts, options: SyncsOptions): Syncs {
  const { store, directory, log, process, onEnded } = parts;
  const { intervalMs, shrinkGuard, pageMs = 60_000 } = options;
  const listing = new Map(parts.sources.filter(canList).map((source) => [source.name, source]));
  const led = new Map<string, LedSync>();
  /** Peppers of others that this process has answered with a sync under its own: "source pepper". */
  const answered = new Set<string>();
  let hasWarned = false;
  let schedule: SyncSchedule | undefined;
  let closed = false;

  const state = (source: string): SyncState => {
    const known = directory.sync(source) ?? {};
    const { running, ...rest } = known;
    return running && runningOf(known, store.now()) === undefined ? rest : known;
  };

  function dueAt(source: string): number {
    const { running, last, pepper, nextAt: next = 0 } = state(source);
    if (running) return running.until;
    if (last === undefined || isToCome(last.endedAt, store.now())) return 0;
    // What it wrote is of no use. Answered once: where processes go on with different peppers, there is no end to that.
    if (isForeign(pepper) && !answered.has(`${source} ${pepper}`)) return 0;
    // Whoever did it may have another interval.
    return Math.min(next, last.endedAt + intervalMs * mostJitter);
  }

  function isForeign(pepper: string | undefined): boolean {
    return pepper !== undefined && pepper !== pepperMark(parts.hasher);
  }

  /** Says once that somebody goes on with another pepper. */
  function warnOfForeign(source: string): void {
    const { pepper } = state(source);
    if (hasWarned || !isForeign(pepper) || !answered.has(`${source} ${pepper}`)) return;
    hasWarned = true;
    log.error(
      { source },
      "another process has another token pepper: each knows tokens until the other's next sync only",
    );
  }

  function nextAt(outcome: SyncOutcome, failures: number): number {
    if (outcome === "canceled") return store.now();
    const waitMs = outcome === "failed" ? Math.min(intervalMs, retryMs * 2 ** (failures - 1)) : intervalMs;
    return Math.round(store.now() + waitMs * (leastJitter + (mostJitter - leastJitter) * Math.random()));
  }

  async function acquire(source: string): Promise<Lease | undefined> {
    const lease = await store.acquire(leaseName(source), { ttlMs: leaseMs, holder: process });
    if (!lease) return undefined;
    try {
      // Changes nothing, but once it is through, all is known here that whoever had the lease before wrote.
      await store.write([{ kind: "syncs", key: `${source}/barrier`, value: undefined }], lease);
      return lease;
    } catch (error) {
      await lease.release().catch(() => {});
      throw error;
    }
  }

  function lead(source: ListingSource, lease: Lease, asked: SyncOptions): LedSync {
    const { hasher } = parts;
    const leading = { store, directory, hasher, log, process, nextAt };
    const sync = leadSync(leading, source, lease, { ...asked, shrinkGuard, pageMs });
    led.set(source.name, sync);
    const { pepper } = state(source.name);
    if (!asked.dryRun && isForeign(pepper)) answered.add(`${source.name} ${pepper}`);
    void sync.ended.then((summary) => {
      led.delete(source.name);
      onEnded?.(source.name, summary);
    });
    return sync;
  }

  /** The sync that is due, unless another process does it or has just done it. */
  async function runDue(name: string): Promise<void> {
    const source = listing.get(name);
    if (!source || led.has(name) || closed) return;
    try {
      const lease = await acquire(name);
      if (!lease) return;
      if (closed || dueAt(name) > store.now()) return await lease.release();
      await lead(source, lease, { dryRun: false, allowShrink: false }).ended;
    } catch (error) {
      log.debug({ source: name, error: describeFailure(error) }, "sync could not begin");
    }
  }

  /** A sync of this process or another one: begun now, or under way with the same options. */
  async function* begin(source: ListingSource, asked: SyncOptions): AsyncGenerator<SyncEvent> {
    const { name } = source;
    const askedAt = store.now();
    for (;;) {
      const own = led.get(name);
      if (own) {
        refuseOther(name, own.options, asked);
        return yield* own.audience.join(true);
      }
      const running = runningOf(directory.sync(name), store.now());
      if (running && running.process !== process) {
        refuseOther(name, running, asked);
        return yield* followSync(parts, name, running);
      }
      const lease = await acquire(name);
      if (lease) return yield* lead(source, lease, asked).audience.join(false);
      if (store.now() > askedAt + leaseMs + appearMs)
        throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", "another process is about to sync", retryMs);
      // It has just begun, or is done: either will be known shortly.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  const unlisten = directory.onChange((change) => {
    if (change.kind !== "sync") return;
    schedule?.changed(change.source);
    if (!led.has(change.source)) warnOfForeign(change.source);
  });

  async function* syncOne(name: string, asked: SyncOptions): AsyncGenerator<SyncEvent> {
    const source = listing.get(name);
    if (!source) throw new SyncRefusedError("SYNC_NOT_SUPPORTED", "source cannot list its actors", name);
    yield* begin(source, asked);
  }

  return {
    sources: [...listing.keys()],
    sync(source, { dryRun = false, allowShrink = false } = {}) {
      const asked = { dryRun, allowShrink };
      if (source !== undefined) return syncOne(source, asked);
      return merged([...listing.keys()].map((name) => syncOne(name, asked)));
    },
    state,
    holder: (source) => store.holder(leaseName(source)),
    start() {
      schedule ??= startSyncSchedule({ sources: [...listing.keys()], now: store.now, dueAt, run: runDue });
    },
    async close() {
      closed = true;
      schedule?.close();
      unlisten();
      for (const sync of led.values()) sync.cancel();
      await Promise.all([...led.values()].map(({ ended }) => ended));
    },
  };
}

function canList(source: Source): source is ListingSource {
  return source.list !== undefined;
}

function leaseName(source: string): string {
  return `sync/${source}`;
}

function refuseOther(source: string, running: SyncOptions, asked: SyncOptions): void {
  if (running.dryRun === asked.dryRun && running.allowShrink === asked.allowShrink) return;
  throw new SyncRefusedError("SYNC_DIFFERS", "a sync with other options is under way", source);
}
