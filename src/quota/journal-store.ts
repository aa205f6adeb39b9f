import { UnavailableError } from "../errors.js";
import type { Clock } from "../lib/clock.js";
import type { Database } from "../lib/database.js";
import { DatabaseAwayError } from "../lib/database-errors.js";
import type { Log } from "../lib/log.js";
import { startPatience } from "../lib/patience.js";
import { createJournalChanges, type JournalChanges } from "./journal-changes.js";
import { restore } from "./journal-restore.js";
import { versions } from "./journal-tables.js";
import { createMemoryState } from "./memory-state.js";
import { createMemoryQuotaStore, type MemoryQuotaStoreOptions } from "./memory-store.js";
import type { QuotaStore } from "./store.js";
import * as store from "./store.js";

export interface JournalQuotaStoreParts {
  readonly clock: Clock;
  /** The store does not close it. */
  readonly database: Database;
  readonly log: Pick<Log, "error">;
}

export interface JournalQuotaStoreOptions extends MemoryQuotaStoreOptions {
  /** How long a call may wait for the disk. Default 1 s. */
  readonly timeoutMs?: number;
  /** Whether it is written to the table `outbox` how requests end, for whoever reads and empties it. Default true. */
  readonly outbox?: boolean;
}

/** When a caller may ask again while the disk takes nothing. */
const retryAfterMs = 1_000;

/**
 * A quota store for one process that goes on after a restart: a memory store whose changes are written to a database. An answer
 * is given once what it says is written, so the end of the process loses nothing that anyone was told.
 *
 * While nothing can be written, what was admitted stays, and everything that would change a count throws `UnavailableError`
 * at once. What a call changed that failed on its way to the disk is written when there is room again: repeated, it finds that.
 *
 * Holds of a process that died end with their leases. Abandoned holds that `reap` returned are returned again after a crash
 * that comes before the next `reap`. Throws `DatabaseUnusableError` when the database is damaged.
 */
export async function createJournalQuotaStore(
  { clock, database, log }: JournalQuotaStoreParts,
  {
    leaseMs = store.leaseMs,
    maxCounters = store.maxCounters,
    timeoutMs = 1_000,
    outbox = true,
    ...options
  }: JournalQuotaStoreOptions = {},
): Promise<QuotaStore> {
  const { rememberMs = store.rememberMs, maxRemembered = 20_000 } = options;
  await database.migrate("quota", versions);
  const known = createMemoryState({ rememberMs, maxRemembered });
  const rows = await restore(database, known, clock.now());
  const changes: JournalChanges = createJournalChanges(rows, { rememberMs, maxRemembered, outbox }, () => flush.soon());
  const flush = createFlush({ database, changes, clock, log }, { timeoutMs });
  const settledIds = {
    ...known.settledIds,
    add(actor: string, id: string, now: number): void {
      known.settledIds.add(actor, id, now);
      changes.remember(actor, id);
    },
  };
  const state = { ...known, settledIds };
  const memory = createMemoryQuotaStore({ clock, state, changes }, { leaseMs, maxCounters });
  const isWritten = ({ kind }: { readonly kind: string }): boolean => kind === "refused" || kind === "late";

  /** A change, told once it is written. What changes nothing, unless by the way, waits for nothing. */
  async function change<T>(make: () => Promise<T>, needsNothing: (answer: T) => boolean = () => false): Promise<T> {
    flush.throwIfAway();
    const answer = await make();
    if (!needsNothing(answer)) await flush.done();
    return answer;
  }

  return {
    tellsOutbox: outbox,
    now: memory.now,
    reserve: (call) => change(() => memory.reserve(call), isWritten),
    commit: (call) => change(() => memory.commit(call), isWritten),
    refund: (call) => change(() => memory.refund(call), isWritten),
    reset: (actor, keys) => change(() => memory.reset(actor, keys)),
    async renew(holds) {
      // In memory also while the disk is away, so that it does not end what is under way.
      await memory.renew(holds);
      flush.throwIfAway();
      await flush.done();
    },
    async reap(max) {
      flush.throwIfAway();
      // Whoever was told has kept it, or would not ask again.
      changes.forgetTold();
      const found = await memory.reap(max);
      try {
        await flush.done();
      } catch (error) {
        state.abandoned.unshift(...found);
        changes.untold(found.length);
        throw error;
      }
      return found;
    },
    usage: memory.usage,
    async close() {
      changes.forgetTold();
      await flush.done().catch(() => undefined);
      flush.stop();
    },
  };
}

interface Flush {
  /** There is something to write. */
  soon(): void;
  /** Resolves when all is written that has changed until now; throws `UnavailableError` when that takes too long. */
  done(): Promise<void>;
  throwIfAway(): void;
  stop(): void;
}

/** Writes changes, always one batch: while it is written, the next gathers. */
function createFlush(
  parts: Pick<JournalQuotaStoreParts, "database" | "clock" | "log"> & { readonly changes: JournalChanges },
  { timeoutMs }: { readonly timeoutMs: number },
): Flush {
  const { database, changes, clock, log } = parts;
  /** Those who wait for the batch under way, and for the one after it. */
  let current: Waiting | undefined;
  let next: Waiting | undefined;
  let running = false;
  const stop = database.onState((failure) => {
    if (failure === undefined) soon();
  });

  function soon(): void {
    if (running || database.failure !== undefined) return;
    running = true;
    // After what is done in the same breath.
    queueMicrotask(() => void writeAll());
  }

  async function writeAll(): Promise<void> {
    while (changes.dirty && database.failure === undefined) {
      current = next ?? createWaiting(timeoutMs);
      next = undefined;
      const batch = changes.take(clock.now());
      try {
        await database.write(batch.statements);
        current.end();
      } catch (error) {
        batch.giveBack();
        fail(error);
        break;
      }
    }
    // Nobody is to wait for what does not come.
    if (database.failure !== undefined) fail(database.failure);
    current = undefined;
    running = false;
  }

  function fail(error: unknown): void {
    if (!(error instanceof DatabaseAwayError)) log.error({ err: error }, "quota could not be written");
    for (const waiting of [current, next]) waiting?.end(away(error));
    next = undefined;
  }

  return {
    soon,
    done() {
      if (!changes.dirty) return current?.promise ?? Promise.resolve();
      soon();
      return (next ??= createWaiting(timeoutMs)).promise;
    },
    throwIfAway() {
      if (database.failure !== undefined) throw away(database.failure);
    },
    stop,
  };
}

/** What those wait for who wait for a batch. */
interface Waiting {
  readonly promise: Promise<void>;
  /** It was written, or not. */
  end(error?: Error): void;
}

/** Ends by itself after `timeoutMs`. */
function createWaiting(timeoutMs: number): Waiting {
  let settle = (_error?: Error): void => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  // Perhaps nobody waits any more.
  promise.catch(() => undefined);
  const patience = startPatience(timeoutMs, () => settle(away(new Error("the disk is too slow"))));
  return {
    promise,
    end(error) {
      patience.end();
      settle(error);
    },
  };
}

function away(cause: unknown): UnavailableError {
  return new UnavailableError("QUOTA_STORE_UNAVAILABLE", "quota store is unavailable", retryAfterMs, { cause });
}
