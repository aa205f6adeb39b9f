// Reading the table of the outbox, and moving on the marks of what sinks have.

import type { Database } from "../lib/database.js";
import type { Log } from "../lib/log.js";
import { countEvents, type OutboxRow, readEvent, remove, setMark, versions } from "./database-outbox-tables.js";
import type { UsageEvent } from "./event.js";
import type { OutboxBatch } from "./outbox.js";

export interface TableReader {
  read(sink: string, max: number): Promise<OutboxBatch | undefined>;
  /** Looks how many entries there are. */
  look(): Promise<void>;
  /** Entries that wait for the sink, when last looked. */
  waiting(sink: string): number;
  /** Drops entries, the oldest, until no more than so many wait for any sink. */
  discard(maxWaiting: number): Promise<void>;
  /** Events that were parked before. */
  readonly parked: number;
}

export interface TableReaderParts {
  readonly database: Database;
  readonly sinks: readonly string[];
  readonly log: Pick<Log, "error">;
  readonly onLost: (sink: string, events: number) => void;
}

/** A request leaves two entries, of which one is an event. */
const entriesOfEvent = 2;

/** Makes the tables where they are missing. This process alone uses them. */
export async function openTableReader(parts: TableReaderParts): Promise<TableReader> {
  const { database, sinks, log, onLost } = parts;
  await database.migrate("usage", versions);
  const { parked, marks, ...found } = await find(database, sinks);
  let { last } = found;
  let discarding = false;
  const markOf = (sink: string): number => marks.get(sink) ?? last;

  /** What all have goes. */
  async function advance(sink: string, to: number): Promise<void> {
    if (to <= markOf(sink)) return;
    const others = sinks.filter((other) => other !== sink).map(markOf);
    await database.write([setMark(sink, to), remove(Math.min(to, ...others))]);
    marks.set(sink, to);
  }

  function readOne(row: OutboxRow, sink: string): UsageEvent | undefined {
    try {
      return readEvent(row);
    } catch (error) {
      log.error({ outbox: "outbox", id: row.id, error }, "usage event cannot be read");
      onLost(sink, 1);
      return undefined;
    }
  }

  function take(rows: readonly OutboxRow[], sink: string, max: number) {
    const events: UsageEvent[] = [];
    let upTo = 0;
    for (const row of rows) {
      if (events.length === max) break;
      const event = readOne(row, sink);
      if (event !== undefined) events.push(event);
      upTo = row.id;
    }
    return { events, upTo };
  }

  async function discardOf(sink: string, to: number): Promise<void> {
    const from = markOf(sink);
    if (from >= to) return;
    const [counted] = await database.read<{ events: number }>(countEvents, [from, to]);
    await advance(sink, to);
    onLost(sink, counted?.events ?? 0);
  }

  return {
    parked,
    async read(sink, max) {
      // What was delivered could not be said: it would be delivered again and again.
      if (database.failure !== undefined) throw database.failure;
      for (;;) {
        const sql = "select id, kind, entry from outbox where id > ? order by id limit ?";
        const rows = await database.read<OutboxRow>(sql, [markOf(sink), entriesOfEvent * max]);
        if (rows.length === 0) return undefined;
        const { events, upTo } = take(rows, sink, max);
        if (events.length > 0) return { events, acknowledge: () => advance(sink, upTo) };
        // Only starts of requests.
        await advance(sink, upTo);
      }
    },
    async look() {
      last = await lastId(database);
    },
    waiting: (sink) => last - markOf(sink),
    async discard(maxWaiting) {
      if (discarding) return;
      discarding = true;
      try {
        for (const sink of sinks) await discardOf(sink, last - maxWaiting);
      } finally {
        discarding = false;
      }
    },
  };
}

async function find(database: Database, sinks: readonly string[]) {
  const rows = await database.read<{ sink: string; mark: number }>("select sink, mark from outbox_marks");
  const [parked] = await database.read<{ count: number }>("select count(*) as count from outbox_parked");
  const [oldest] = await database.read<{ id: number | null }>("select min(id) as id from outbox");
  const last = await lastId(database);
  const known = new Map(rows.map(({ sink, mark }) => [sink, mark]));
  // What is gone already nobody can have any more.
  const least = oldest?.id === null || oldest === undefined ? last : oldest.id - 1;
  const marks = new Map(sinks.map((sink) => [sink, Math.max(least, known.get(sink) ?? 0)]));
  return { parked: parked?.count ?? 0, marks, last };
}

/** Ids are never used again, so what is gone counts too. */
async function lastId(database: Database): Promise<number> {
  const [row] = await database.read<{ seq: number }>("select seq from sqlite_sequence where name = 'outbox'");
  return row?.seq ?? 0;
}
