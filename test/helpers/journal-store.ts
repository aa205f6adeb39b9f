// Quota stores on a database, that can be started again.

import { type Database, openDatabase } from "../../src/lib/database.js";
import { createJournalQuotaStore, type JournalQuotaStoreOptions } from "../../src/quota/journal-store.js";
import type { QuotaStore } from "../../src/quota/store.js";
import { dataDir } from "./data-dir.js";
import { fakeClock } from "./fake-clock.js";
import { recordingLog } from "./log.js";

export interface JournalStore extends AsyncDisposable {
  /** The one that was started last, under a name that stays. */
  readonly store: QuotaStore;
  readonly database: Database;
  readonly log: ReturnType<typeof recordingLog>;
  readonly path: string;
  advance(ms: number): Promise<void>;
  /** Ends store and database, and starts both again from the directory. */
  restart(): Promise<void>;
  /** The same with the store alone. */
  restartStore(): Promise<void>;
  count(table: string): Promise<number>;
}

/** A disk that is slow, on a machine that is busy, is no fault. */
const patient = { retryMs: 20, stallMs: 30_000 };

/** A store in a directory of its own, or in `dir`, with a clock that is moved by hand. */
export async function journalStore({
  dir,
  ...given
}: JournalQuotaStoreOptions & { readonly dir?: string } = {}): Promise<JournalStore> {
  const options = { timeoutMs: 30_000, ...given };
  const own = dir === undefined ? await dataDir() : undefined;
  const path = dir ?? own?.path ?? "";
  const clock = fakeClock();
  const log = recordingLog();
  let database = await openDatabase(path, patient);
  let store = await createJournalQuotaStore({ clock, database, log }, options);

  const journal: JournalStore = {
    store: {
      tellsOutbox: options.outbox ?? true,
      now: () => store.now(),
      reserve: (call) => store.reserve(call),
      commit: (call) => store.commit(call),
      refund: (call) => store.refund(call),
      renew: (holds) => store.renew(holds),
      reap: (max) => store.reap(max),
      usage: (actor, rules) => store.usage(actor, rules),
      reset: (actor, keys) => store.reset(actor, keys),
      close: () => store.close(),
    },
    get database() {
      return database;
    },
    log,
    path,
    advance: (ms) => clock.advanceMs(ms),
    async restart() {
      await store.close();
      await database.close();
      database = await openDatabase(path, patient);
      store = await createJournalQuotaStore({ clock, database, log }, options);
    },
    async restartStore() {
      await store.close();
      store = await createJournalQuotaStore({ clock, database, log }, options);
    },
    count: async (table) =>
      (await database.read<{ n: number }>(`select count(*) as n from ${table}`))[0]?.n ?? Number.NaN,
    async [Symbol.asyncDispose]() {
      await store.close();
      await database.close();
      await own?.[Symbol.asyncDispose]();
    },
  };
  return journal;
}
