// The table of the actor store in the database of a data directory.

import type { Database, Statement } from "../lib/database.js";
import { maxRecords, type RecordKind, type StoreRecord } from "./store.js";

/** What makes each version of the table out of the one before. A key is kept as JSON: it may have any characters. */
export const versions: readonly string[] = [
  `create table actor_records(
    kind text not null, key text not null, value text not null, expires_at integer, primary key(kind, key)
  ) strict, without rowid;
  create index actor_records_expiry on actor_records(expires_at) where expires_at is not null;`,
  "create table actor_kept(name text not null primary key, value text not null) strict, without rowid;",
];

export interface Rows {
  /**
   * Writes records. False: the disk takes nothing. With `later` they are written when it does again, unless something newer
   * took their place by then, and it is true all the same.
   */
  write(records: readonly StoreRecord[], options: { readonly later: boolean }): Promise<boolean>;
  /** All records, in slices. What is written meanwhile is not told again as it was before. */
  read(): AsyncIterable<readonly StoreRecord[]>;
  /** What is kept under this name for good. */
  kept(name: string): Promise<string | undefined>;
  /** Rejects when the disk takes nothing. */
  keep(name: string, value: string): Promise<void>;
  close(): Promise<void>;
}

export function createRows(database: Database, onFailure: (error: unknown) => void): Rows {
  /** The newest record of each key that is on its way to the disk, and of each that has to be sent again. */
  const underWay = new Map<string, StoreRecord>();
  const waiting = new Map<string, StoreRecord>();
  const stopListening = database.onState((failure) => {
    if (failure === undefined) void writeWaiting();
  });

  async function write(records: readonly StoreRecord[], { later }: { later: boolean }): Promise<boolean> {
    if (records.length === 0) return true;
    for (const record of records) {
      waiting.delete(nameOf(record));
      underWay.set(nameOf(record), record);
    }
    const written = await database.write(statementsOf(records)).then(
      () => true,
      (error: unknown) => {
        onFailure(error);
        return false;
      },
    );
    for (const record of records) {
      // A newer one is under way.
      if (underWay.get(nameOf(record)) !== record) continue;
      underWay.delete(nameOf(record));
      if (!written && later) waiting.set(nameOf(record), record);
    }
    return written || later;
  }

  async function writeWaiting(): Promise<void> {
    for (const records of slicesOf([...waiting.values()])) {
      // Some may have been replaced by now.
      const still = records.filter((record) => waiting.get(nameOf(record)) === record);
      await write(still, { later: true });
    }
  }

  return {
    write,
    async *read() {
      let last: readonly string[] = ["", ""];
      for (let full = true; full; ) {
        const rows = await database.read<Row>(page, [...last, maxRecords]);
        const { kind = "", key = "" } = rows.at(-1) ?? {};
        last = [kind, key];
        full = rows.length === maxRecords;
        // What waits has been told as it is now.
        const records = rows.map(recordOf).filter((record) => !waiting.has(nameOf(record)));
        if (records.length > 0) yield records;
      }
    },
    async kept(name) {
      const [row] = await database.read<{ value: string }>("select value from actor_kept where name = ?", [name]);
      return row?.value;
    },
    keep: (name, value) =>
      database.write([{ sql: "insert or ignore into actor_kept(name, value) values(?, ?)", params: [name, value] }]),
    async close() {
      stopListening();
      await writeWaiting();
    },
  };
}

interface Row {
  readonly kind: RecordKind;
  readonly key: string;
  readonly value: string;
  readonly expires_at: number | null;
}

const page = `select kind, key, value, expires_at from actor_records
  where (kind, key) > (?, ?) order by kind, key limit ?`;

function recordOf({ kind, key, value, expires_at: expiresAt }: Row): StoreRecord {
  const record = { kind, key: JSON.parse(key) as string, value };
  return expiresAt === null ? record : { ...record, expiresAt };
}

function nameOf({ kind, key }: StoreRecord): string {
  return `${kind} ${key}`;
}

/** As many at once as a listener takes. */
export function* slicesOf(records: readonly StoreRecord[]): Iterable<readonly StoreRecord[]> {
  for (let at = 0; at < records.length; at += maxRecords) yield records.slice(at, at + maxRecords);
}

/** Of several records of one key, the last. Rows are given as one JSON text: that costs less than giving them one by one. */
function statementsOf(records: readonly StoreRecord[]): Statement[] {
  const last = [...new Map(records.map((record) => [nameOf(record), record])).values()];
  const kept = last.flatMap(({ kind, key, value, expiresAt }) =>
    value === undefined
      ? []
      : [[kind, JSON.stringify(key), value, expiresAt === undefined ? null : Math.ceil(expiresAt)]],
  );
  const removed = last.flatMap(({ kind, key, value }) => (value === undefined ? [[kind, JSON.stringify(key)]] : []));
  return [
    ...(kept.length > 0 ? [{ sql: put, params: [JSON.stringify(kept)] }] : []),
    ...(removed.length > 0 ? [{ sql: remove, params: [JSON.stringify(removed)] }] : []),
  ];
}

const put = `insert or replace into actor_records
  select value->>0, value->>1, value->>2, value->>3 from json_each(?)`;

const remove = `delete from actor_records
  where (kind, key) in (select value->>0, value->>1 from json_each(?))`;

/** Removes what has expired. */
export function clearing(now: number): Statement {
  return { sql: "delete from actor_records where expires_at <= ?", params: [now] };
}
