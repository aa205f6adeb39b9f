// The thread that uses a database's file: what waits for a disk waits here. It does one thing after the other, as it is told.
// JavaScript, because threads are started from this very file: nothing translates it when the sources are run.

import { closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import Sqlite from "libsql";

/** @import { Answer, Failure, Order, OpenOptions, Statement, Task, WorkerMessage } from "./database-thread.js" */

const { path, applicationId, syncMs } = /** @type {OpenOptions} */ (workerData);
const port = /** @type {import("node:worker_threads").MessagePort} */ (parentPort);

/** Statements kept prepared. There are as many as there are texts in the program. */
const maxPrepared = 200;
/** Bytes written to see whether there is room again: that of some small writes. */
const probeBytes = 65_536;

/** Beginnings of SQLite's codes that tell of the disk or the file and not of a statement. */
const diskCodes = ["FULL", "IOERR", "READONLY", "CANTOPEN", "NOMEM", "BUSY", "LOCKED", "CORRUPT", "NOTADB"];

/** @type {Map<string, ReturnType<Sqlite.Database["prepare"]>>} */
const prepared = new Map();
/** @type {Sqlite.Database} */
let sqlite;
const sync = createSync();

try {
  sqlite = open();
  port.on("message", (/** @type {Order} */ { number, task }) => {
    send({ kind: "answer", number, answer: answerTo(task) });
    if (task.kind === "close") port.close();
  });
  send({ kind: "open" });
} catch (error) {
  send({ kind: "unopened", failure: failureOf(error) });
}

function open() {
  const database = new Sqlite(path);
  // Before the first access: it keeps a second process out, and what processes would share in memory.
  database.pragma("locking_mode = EXCLUSIVE");
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = NORMAL");
  claim(database);
  return database;
}

/**
 * Sees to it that the file is this program's: takes an empty one, refuses that of another.
 * @param {Sqlite.Database} database
 */
function claim(database) {
  const [{ application_id: found }] = /** @type {[{ application_id: number }]} */ (database.pragma("application_id"));
  if (found === applicationId) return;
  const tables = database.prepare("select count(*) from sqlite_master").raw().get([]);
  if (found !== 0 || Number(/** @type {number[]} */ (tables)[0]) > 0) {
    throw Object.assign(new Error(`application id ${found}`), { code: "SQLITE_FOREIGN" });
  }
  database.exec(`
    begin immediate;
    pragma application_id = ${applicationId};
    create table parts(name text primary key, version integer not null) without rowid;
    create table probe(id integer primary key, filler blob);
    commit`);
}

/**
 * @param {Task} task
 * @returns {Answer}
 */
function answerTo(task) {
  try {
    return obey(task);
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

/**
 * @param {Task} task
 * @returns {Answer}
 */
function obey(task) {
  switch (task.kind) {
    case "write":
      return { failures: write(task.writes) };
    case "read":
      return { rows: /** @type {object[]} */ (prepare(task.statement).all(task.statement.params ?? [])) };
    case "migrate":
      transact(() => migrate(task.part, task.versions));
      break;
    case "probe":
      transact(() => run([{ sql: "insert or replace into probe values(1, zeroblob(?))", params: [probeBytes] }]));
      sync.now();
      break;
    case "close":
      close();
  }
  return {};
}

/**
 * Writes all in one transaction. Where one of them is wrong, it fails alone; where the disk fails, all fail. Returns how each
 * failed, or nothing when none did.
 * @param {readonly (readonly Statement[])[]} writes
 * @returns {readonly (Failure | undefined)[] | undefined}
 */
function write(writes) {
  sync.soon();
  try {
    transact(() => writes.forEach(run));
    return undefined;
  } catch (error) {
    const failure = failureOf(error);
    if (failure.disk || writes.length === 1) return writes.map(() => failure);
  }
  return writes.map((statements) => {
    try {
      transact(() => run(statements));
      return undefined;
    } catch (error) {
      return failureOf(error);
    }
  });
}

/** @param {readonly Statement[]} statements */
function run(statements) {
  for (const statement of statements) prepare(statement).run(statement.params ?? []);
}

/**
 * @param {string} part
 * @param {readonly string[]} versions
 */
function migrate(part, versions) {
  const [row] = /** @type {{ version: number }[]} */ (
    sqlite.prepare("select version from parts where name = ?").all([part])
  );
  const found = row?.version ?? 0;
  if (found > versions.length) {
    throw Object.assign(new Error(`${part}: version ${found}`), { code: "SQLITE_NEWER" });
  }
  // So that it starts on a full disk too.
  if (found === versions.length) return;
  for (const sql of versions.slice(found)) sqlite.exec(sql);
  sqlite.prepare("insert or replace into parts values(?, ?)").run([part, versions.length]);
}

/** @param {() => void} work */
function transact(work) {
  sqlite.exec("begin immediate");
  try {
    work();
    sqlite.exec("commit");
  } catch (error) {
    // Where the disk fails, SQLite has ended it already.
    if (sqlite.inTransaction) sqlite.exec("rollback");
    throw error;
  }
}

/** @param {Statement} statement */
function prepare({ sql }) {
  const known = prepared.get(sql);
  if (known !== undefined) return known;
  if (prepared.size >= maxPrepared) prepared.clear();
  const made = sqlite.prepare(sql);
  prepared.set(sql, made);
  return made;
}

function close() {
  prepared.clear();
  try {
    // Into the database itself, so that the next start has nothing to recover.
    sqlite.pragma("wal_checkpoint(TRUNCATE)");
  } catch {
    // Then the next start does it.
  }
  sqlite.close();
  sync.end();
}

/**
 * The log that SQLite appends to is safe from the end of this process as soon as it is written, and from the machine's once it
 * is synced. That is done on the side, so that nobody waits for it.
 */
function createSync() {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  /** @type {number | undefined} */
  let file;

  /** It is the same file until the database is closed. */
  function fileOf() {
    file ??= openSync(`${path}-wal`, "r+");
    return file;
  }

  function start() {
    /** @param {unknown} error */
    const done = (error) => {
      timer = undefined;
      if (error !== null) send({ kind: "unsynced", failure: failureOf(error) });
    };
    try {
      fdatasync(fileOf(), done);
    } catch (error) {
      done(error);
    }
  }

  return {
    /** Within `syncMs`, or that long after the one under way. */
    soon() {
      timer ??= setTimeout(start, syncMs).unref();
    },
    now: () => fdatasyncSync(fileOf()),
    end() {
      clearTimeout(timer);
      if (file !== undefined) closeSync(file);
    },
  };
}

/**
 * @param {unknown} error
 * @returns {Failure}
 */
function failureOf(error) {
  const { message } = /** @type {Error} */ (error);
  const code = codeOf(/** @type {Error & { code?: string }} */ (error));
  return { code, message, disk: diskCodes.includes(code.split("_")[1] ?? "") };
}

/** @param {Error & { code?: string }} error */
function codeOf({ code, message }) {
  if (code?.startsWith("SQLITE_")) return code;
  // What the system says of a file, and what the library says when it cannot open one.
  if (code?.startsWith("E") && !code.startsWith("ERR_")) return `SQLITE_IOERR_${code}`;
  return message.includes("Unable to open") ? "SQLITE_CANTOPEN" : "SQLITE_MISUSE";
}

/** @param {WorkerMessage} message */
function send(message) {
  port.postMessage(message);
}
