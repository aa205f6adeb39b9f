import { UnavailableError } from "../errors.js";
import type { Clock } from "../lib/clock.js";
import type { Database } from "../lib/database.js";
import { DatabaseAwayError } from "../lib/database-errors.js";
import type { Log } from "../lib/log.js";
import { clearing, createRows, slicesOf, versions } from "./database-rows.js";
import { createLocal, turn } from "./local.js";
import { type ActorStore, checkRecords, type RecordKind, type StoreListener, type StoreRecord } from "./store.js";

export interface DatabaseActorStoreParts {
  readonly clock: Clock;
  /** The store does not close it. */
  readonly database: Database;
  readonly log: Pick<Log, "error">;
}

/** What is worth nothing after a restart. */
const passing: ReadonlySet<RecordKind> = new Set(["unknown", "watchers"]);
/** What an operator did and was told that it is done. The rest comes again from where it came from. */
const promised: ReadonlySet<RecordKind> = new Set(["overrides", "revocations"]);

/** When a caller may ask again while the disk takes nothing. */
const retryAfterMs = 1_000;
/** Time between two clearings of what has expired. */
const clearMs = 60_000;

/**
 * A store of actors for one process that goes on after a restart. While the disk takes nothing, what operators set throws
 * `UnavailableError`; what sources told is taken all the same, and written once there is room.
 */
export async function createDatabaseActorStore(parts: DatabaseActorStoreParts): Promise<ActorStore> {
  const { clock, database, log } = parts;
  await database.migrate("actors", versions);
  await database.write([clearing(clock.now())]).catch(noteFailure);
  const local = createLocal(clock, apply);
  const rows = createRows(database, noteFailure);
  /** What passes, as long as nobody listens. */
  const untold: StoreRecord[] = [];
  let listener: StoreListener | undefined;

  function apply(records: readonly StoreRecord[]): void {
    local.expire(records);
    if (listener === undefined) untold.push(...records.filter(({ kind }) => passing.has(kind)));
    else listener.changed(records);
  }

  function noteFailure(error: unknown): void {
    if (!(error instanceof DatabaseAwayError)) log.error({ error }, "actor store cannot use its database");
  }

  const clears = setInterval(() => {
    database.write([clearing(clock.now())]).catch(noteFailure);
  }, clearMs).unref();

  return {
    ...local,
    async follow(given) {
      given.reloading();
      listener = given;
      for (const records of slicesOf(untold.splice(0))) {
        given.changed(records);
        await turn();
      }
      for await (const records of rows.read()) {
        const now = clock.now();
        const current = records.filter(({ expiresAt = Infinity }) => expiresAt > now);
        local.expire(current);
        given.changed(current);
        // Answers of the database's thread are taken one after another, as long as there are some.
        await turn();
      }
      given.reloaded();
      given.connected(true);
    },
    async write(records, lease) {
      checkRecords(records);
      local.check(lease);
      const lasting = records.filter(({ kind }) => !passing.has(kind));
      const isPromised = lasting.some(({ kind }) => promised.has(kind));
      if (!(await rows.write(lasting, { later: !isPromised })))
        throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", "actor store is unavailable", retryAfterMs);
      apply(records);
    },
    async keep(name, value) {
      try {
        const known = await rows.kept(name);
        if (known !== undefined) return known;
        await rows.keep(name, value);
        return (await rows.kept(name)) ?? value;
      } catch (cause) {
        noteFailure(cause);
        throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", "actor store is unavailable", retryAfterMs, { cause });
      }
    },
    async close() {
      clearInterval(clears);
      local.stop();
      await rows.close();
    },
  };
}
