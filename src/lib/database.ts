import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseAwayError, DatabaseUnusableError, isDiskError, unusable } from "./database-errors.js";
import { errorOf, type Statement, startThread, type Thread, type Value } from "./database-thread.js";
import { startPatience } from "./patience.js";

export type { Statement, Value } from "./database-thread.js";

/**
 * What a data directory holds: one SQLite database, for all parts of one process. It is used in a thread of its own, so
 * neither writing nor the disk ever keeps requests waiting that do not ask for it.
 */
export interface Database {
  /**
   * Brings the tables of a part up to date; call it before anything else of that part. `versions[n]` is the SQL that makes
   * version n + 1 of them out of version n, and never changes once it was released. Throws `DatabaseUnusableError` when they
   * are of a later version.
   */
  migrate(part: string, versions: readonly string[]): Promise<void>;
  /**
   * Does all statements, in order, or none of them. Resolves once the kernel has what they wrote: then the end of this
   * process, however sudden, loses nothing; the machine's may lose what was written in the last `syncMs`. What is handed over
   * while something is written is written next, together. Throws `DatabaseAwayError`, at once while the disk takes nothing,
   * and `SqlError` when a statement is wrong; in both cases nothing was done, now or later. What is under way when the disk
   * stops to answer is settled once it answers.
   */
  write(statements: readonly Statement[]): Promise<void>;
  /**
   * Rows by column name, as what was written before left them; also while nothing can be written. Many rows are better asked
   * for some at a time. Throws `DatabaseUnusableError` when the file is damaged, else as `write` does.
   */
  read<Row extends object>(sql: string, params?: readonly Value[]): Promise<readonly Row[]>;
  /** Why nothing can be written; undefined: it can. It is tried again every `retryMs`, and nobody needs to do anything. */
  readonly failure: DatabaseAwayError | undefined;
  /** Calls `listener` whenever `failure` changes between none and one, until the returned function is called. */
  onState(listener: (failure: DatabaseAwayError | undefined) => void): () => void;
  /** Writes what was handed over, then lets the next process have the file. Waits for at most `stallMs`. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** What the end of the machine may lose. Default 1 s. */
  readonly syncMs?: number;
  /** Time between attempts to write while the disk takes nothing. Default 250 ms. */
  readonly retryMs?: number;
  /** How long one write may take until the disk counts as gone. Default 2 s. */
  readonly stallMs?: number;
}

/** The database's file in its directory. Beside it lies `gateway.db-wal`, which belongs to it. */
const fileName = "gateway.db";
/** "CGWY": what the file says of whose it is. */
const applicationId = 0x43475759;

/** What was handed over and not written yet. */
interface Waiting {
  readonly statements: readonly Statement[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Opens the database in `dir`, making both where they are missing. Throws `DatabaseUnusableError`, also when another process
 * has it open: one process at a time uses a directory.
 */
export async function openDatabase(
  dir: string,
  { syncMs = 1_000, retryMs = 250, stallMs = 2_000 }: DatabaseOptions = {},
): Promise<Database> {
  const path = join(dir, fileName);
  await makeFile(dir, path);
  const listeners = new Set<(failure: DatabaseAwayError | undefined) => void>();
  const start = (): Promise<Thread> => startThread({ path, applicationId, syncMs }, fail);
  let gathering: Waiting[] = [];
  let busy: Promise<void> | undefined;
  let failure: DatabaseAwayError | undefined;
  let retrying: NodeJS.Timeout | undefined;
  let closed = false;
  let thread = await start().catch((error: unknown) => Promise.reject(unusable(path, error)));

  function fail(cause: unknown): void {
    if (failure !== undefined || closed) return;
    failure = new DatabaseAwayError(cause);
    for (const { reject } of gathering.splice(0)) reject(failure);
    for (const listener of listeners) listener(failure);
    retryLater();
  }

  function retryLater(): void {
    retrying = setTimeout(() => void retry(), retryMs).unref();
  }

  async function retry(): Promise<void> {
    try {
      if (thread.ended) thread = await start();
      await thread.ask({ kind: "probe" });
    } catch {
      if (!closed) retryLater();
      return;
    }
    failure = undefined;
    for (const listener of listeners) listener(undefined);
  }

  /** Writes group after group: while one is written, the next gathers. */
  async function writeAll(): Promise<void> {
    while (gathering.length > 0) {
      const group = gathering;
      gathering = [];
      const patience = startPatience(stallMs, () => fail(new Error("the disk does not answer")));
      await writeGroup(group);
      patience.end();
    }
    busy = undefined;
  }

  async function writeGroup(group: readonly Waiting[]): Promise<void> {
    let failures: readonly (Error | undefined)[];
    try {
      const answer = await thread.ask({ kind: "write", writes: group.map(({ statements }) => statements) });
      failures = (answer.failures ?? []).map((each) => each && errorOf(each));
    } catch (error) {
      failures = group.map(() => error as Error);
    }
    const away = failures.find(isDiskError);
    if (away !== undefined) fail(away);
    group.forEach(({ resolve, reject }, index) => {
      const error = failures[index];
      if (error === undefined) resolve();
      else reject(isDiskError(error) ? new DatabaseAwayError(error) : error);
    });
  }

  async function ask<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      const known = unusable(path, error);
      throw isDiskError(known) ? new DatabaseAwayError(known) : known;
    }
  }

  return {
    migrate: (part, versions) => ask(async () => void (await thread.ask({ kind: "migrate", part, versions }))),
    write(statements) {
      if (failure !== undefined) return Promise.reject(failure);
      if (closed) return Promise.reject(new DatabaseAwayError(new Error("it is closed")));
      return new Promise((resolve, reject) => {
        gathering.push({ statements, resolve, reject });
        busy ??= writeAll();
      });
    },
    async read<Row extends object>(sql: string, params: readonly Value[] = []) {
      const { rows = [] } = await ask(() => thread.ask({ kind: "read", statement: { sql, params } }));
      return rows as readonly Row[];
    },
    get failure() {
      return failure;
    },
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      closed = true;
      clearTimeout(retrying);
      // Not longer than a disk is waited for that does not answer.
      const patience = new AbortController();
      const finished = Promise.resolve(busy).then(() => thread.close());
      await Promise.race([finished, sleep(stallMs, undefined, { signal: patience.signal }).catch(() => undefined)]);
      patience.abort();
    },
  };
}

/** Only for us to read: secrets may be kept in it. SQLite gives the file beside it the same permissions. */
async function makeFile(dir: string, path: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const file = await open(path, "a", 0o600);
    await file.close();
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new DatabaseUnusableError(
      `the data directory ${dir} must be a directory that this process can write (${said})`,
      {
        cause,
      },
    );
  }
}
