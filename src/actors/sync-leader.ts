// A sync that this process does: it holds the lease, tells how far it is, and writes down how it ended.

import { randomUUID } from "node:crypto";
import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { Directory } from "./directory.js";
import { describeFailure } from "./failure.js";
import { pepperMark } from "./pepper.js";
import { syncRecord } from "./records.js";
import { type ActorStore, type Lease, LeaseLostError } from "./store.js";
import { maxPublished, publishChanges } from "./sync-changes.js";
import { createSyncAudience, type SyncAudience } from "./sync-events.js";
import { type ListingSource, runSync, type SyncChange, type SyncResult } from "./sync-run.js";
import {
  noSyncCounts,
  type RunningSync,
  type SyncCounts,
  type SyncOutcome,
  type SyncState,
  type SyncSummary,
} from "./sync-state.js";
import type { TokenHasher } from "./token.js";

/** A sync may do nothing for so long before it is taken for dead: others may then begin one. */
export const leaseMs = 10_000;

/** Time between two tries to write while the store is away. */
const retryMs = 200;
/** Time between two tellings of how far a sync is. */
const tellMs = 250;
/** Most quarantined entries that are logged of one sync. */
const maxLogged = 10;

export interface SyncOptions {
  readonly dryRun: boolean;
  readonly allowShrink: boolean;
}

export interface SyncLeaderParts {
  readonly store: Pick<ActorStore, "now" | "write" | "publish">;
  readonly directory: Directory;
  readonly hasher: TokenHasher;
  readonly log: Log;
  /** This process, as others see it. */
  readonly process: string;
  /** When the next sync is due, after one that ended so. */
  readonly nextAt: (outcome: SyncOutcome, failures: number) => number;
}

export interface SyncLeaderLimits {
  readonly shrinkGuard: number;
  /** Longest time from one page to the next. */
  readonly pageMs: number;
}

/** A sync of this process. */
export interface LedSync {
  readonly options: SyncOptions;
  readonly audience: Pick<SyncAudience, "join">;
  /** Resolves when it has ended, however, and its lease is free. */
  readonly ended: Promise<SyncSummary>;
  /** Ends it: this process stops. */
  cancel(): void;
}

/** Begins a sync of `source` under `lease`, and releases that in the end. */
export function leadSync(
  parts: SyncLeaderParts,
  source: ListingSource,
  lease: Lease,
  options: SyncOptions & SyncLeaderLimits,
): LedSync {
  const { store, directory, log, process } = parts;
  const { dryRun, allowShrink } = options;
  const startedAt = store.now();
  const id = randomUUID();
  const identity = { id, startedAt, process, dryRun };
  const audience = createSyncAudience(source.name, identity);
  const abort = new AbortController();
  const patience = createPatience(options.pageMs, abort);
  const found = createFindings(log, source.name, dryRun);
  let counts: SyncCounts = noSyncCounts;

  const stateNow = (): SyncState => directory.sync(source.name) ?? {};
  const writeState = (state: SyncState): Promise<void> => store.write([syncRecord(source.name, state)], lease);
  const running = (): RunningSync => ({ ...identity, allowShrink, counts, until: store.now() + leaseMs });

  function tellProgress(): void {
    const changes = found.take();
    audience.progress(counts, changes);
    for (let at = 0; at < changes.length; at += maxPublished)
      publishChanges(store, source.name, { id, changes: changes.slice(at, at + maxPublished), last: false });
  }

  async function tell(): Promise<void> {
    tellProgress();
    await writeState({ ...stateNow(), running: running() });
  }

  async function run(): Promise<SyncResult> {
    await tell();
    const heartbeat = beat(lease, tell, abort);
    try {
      return await runSync(
        {
          source,
          directory,
          hasher: parts.hasher,
          write: (records) => patiently(() => store.write(records, lease), abort.signal),
          onCounts(now) {
            counts = now;
            patience.renew();
          },
          onChange: found.add,
        },
        { startedAt, now: store.now, dryRun, allowShrink, shrinkGuard: options.shrinkGuard, signal: abort.signal },
      );
    } finally {
      await heartbeat.stop();
      patience.stop();
    }
  }

  function summaryOf(outcome: SyncOutcome, rest: Pick<SyncSummary, "error" | "hold"> = {}): SyncSummary {
    return { ...identity, endedAt: store.now(), outcome, counts, ...rest };
  }

  async function attempt(): Promise<SyncSummary> {
    try {
      const { counts: all, hold } = await run();
      counts = all;
      return hold ? summaryOf("held", { hold, error: hold.reason }) : summaryOf("succeeded");
    } catch (error) {
      if (abort.signal.reason === stopping) return summaryOf("canceled", { error: stopping.message });
      log.debug({ source: source.name, err: error }, "sync broke off");
      return summaryOf("failed", { error: describeFailure(error) });
    }
  }

  async function perform(): Promise<SyncSummary> {
    let summary = await attempt();
    tellProgress();
    if (dryRun) publishChanges(store, source.name, { id, changes: [], last: true });
    try {
      await writeState(after(summary));
    } catch (error) {
      if (error instanceof LeaseLostError) summary = summaryOf("failed", { error: describeFailure(error) });
      else log.warn({ source: source.name, error: describeFailure(error) }, "end of a sync could not be written");
    }
    await lease.release().catch(() => {});
    report(log, source.name, summary);
    audience.finished(summary);
    return summary;
  }

  /** The state to leave behind. */
  function after(summary: SyncSummary): SyncState {
    const { running: _, ...before } = stateNow();
    if (dryRun) return { ...before, lastDryRun: summary };
    const { outcome } = summary;
    const complete = outcome === "succeeded" || outcome === "held";
    const failures = outcome === "failed" ? (before.failures ?? 0) + 1 : 0;
    const nextAt = parts.nextAt(outcome, failures);
    const pepper = pepperMark(parts.hasher);
    return { ...before, last: summary, failures, nextAt, ...(complete && { completedAt: startedAt, pepper }) };
  }

  return { options: { dryRun, allowShrink }, audience, ended: perform(), cancel: () => abort.abort(stopping) };
}

const stopping = new Error("this process stops");

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Tries again while the store is away for a moment: to begin the listing anew would cost more. What was written stays so. */
async function patiently(write: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (const until = performance.now() + leaseMs / 2; ; await pause(retryMs)) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof UnavailableError) || signal.aborted || performance.now() > until) throw error;
    }
  }
}

/** Aborts when `renew` is not called for so long. */
function createPatience(ms: number, abort: AbortController) {
  const lose = (): void => abort.abort(new DOMException("no page in time", "TimeoutError"));
  let timer = setTimeout(lose, ms).unref();
  return {
    renew() {
      clearTimeout(timer);
      timer = setTimeout(lose, ms).unref();
    },
    stop: () => clearTimeout(timer),
  };
}

/** Says how far the sync is, and keeps the lease. Aborts when that is lost. */
function beat(lease: Lease, tell: () => Promise<void>, abort: AbortController) {
  let extendedAt = performance.now();
  let under: Promise<void> = Promise.resolve();
  const once = async (): Promise<void> => {
    if (performance.now() - extendedAt > leaseMs / 4) {
      if (!(await lease.extend())) throw new LeaseLostError(lease.name);
      extendedAt = performance.now();
    }
    await tell();
  };
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    under = once()
      .catch((error: unknown) => {
        // A store that is away for a moment is no reason to give up.
        const lost = error instanceof LeaseLostError || performance.now() - extendedAt > leaseMs;
        if (lost) abort.abort(error);
      })
      .then(() => {
        busy = false;
      });
  }, tellMs).unref();
  return {
    async stop(): Promise<void> {
      clearInterval(timer);
      await under;
    },
  };
}

/** Changes that are not told yet, where they are `kept` to be told; quarantined entries go to the log. */
function createFindings(log: Log, source: string, kept: boolean) {
  let changes: SyncChange[] = [];
  let quarantined = 0;
  return {
    add(change: SyncChange): void {
      if (kept) changes.push(change);
      if (change.kind !== "quarantined" || ++quarantined > maxLogged) return;
      log.warn({ source, id: change.id, problem: change.detail }, "entry of a listing makes no sense and is left out");
    },
    take(): readonly SyncChange[] {
      const taken = changes;
      changes = [];
      return taken;
    },
  };
}

function report(log: Log, source: string, summary: SyncSummary): void {
  const { outcome, counts, error, startedAt, endedAt, dryRun } = summary;
  const fields = { source, ...counts, dryRun, durationMs: endedAt - startedAt, ...(error !== undefined && { error }) };
  if (outcome === "succeeded") log.info(fields, "sync succeeded");
  else if (outcome === "held") log.error(fields, "sync held: actors that are missing were kept");
  else if (outcome === "failed") log.warn(fields, "sync failed");
  else log.info(fields, "sync canceled");
}
