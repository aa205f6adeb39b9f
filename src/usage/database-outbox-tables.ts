// The tables of the outbox in the database of a data directory. The quota store makes `outbox` and writes to it; its entries:
//       reserved              skipped: the request's end follows
//       finished, refunded    `{ outcome }` is an event as JSON text; an empty one is skipped
//       abandoned             `{ intent, charged }`: intent is the start of an event as JSON text
//       event                 an event

import type { Statement } from "../lib/database.js";
import { abandonedEvent, type EventStart, type UsageEvent } from "./event.js";
import type { ParkedEvent } from "./outbox.js";

export const versions: readonly string[] = [
  `create table outbox_marks(sink text primary key, mark integer not null) strict;
  create table outbox_parked(
    id integer primary key autoincrement, sink text not null, why text not null, event text not null
  ) strict;`,
];

export interface OutboxRow {
  readonly id: number;
  readonly kind: string;
  readonly entry: string;
}

/** The event that a row tells; undefined: none. Throws when it cannot be read. */
export function readEvent({ kind, entry }: OutboxRow): UsageEvent | undefined {
  if (kind === "reserved") return undefined;
  if (kind === "event") return JSON.parse(entry) as UsageEvent;
  if (kind === "abandoned") {
    const { intent, charged } = JSON.parse(entry) as { intent: string; charged: boolean };
    return abandonedEvent(JSON.parse(intent) as EventStart, charged);
  }
  const { outcome } = JSON.parse(entry) as { outcome: string };
  return outcome === "" ? undefined : (JSON.parse(outcome) as UsageEvent);
}

/** How many events are after one entry and up to another. */
export const countEvents = `select count(*) as events from outbox
  where id > ? and id <= ? and kind <> 'reserved' and not (kind in ('finished', 'refunded') and entry->>'outcome' = '')`;

/** Adds events that no settlement carried. */
export function appending(events: readonly UsageEvent[]): Statement {
  return {
    sql: "insert into outbox(kind, entry) select 'event', value from json_each(?)",
    params: [JSON.stringify(events.map((event) => JSON.stringify(event)))],
  };
}

export function setMark(sink: string, mark: number): Statement {
  return {
    sql: "insert into outbox_marks values(?, ?) on conflict(sink) do update set mark = excluded.mark",
    params: [sink, mark],
  };
}

/** Removes entries up to this one. */
export function remove(upTo: number): Statement {
  return { sql: "delete from outbox where id <= ?", params: [upTo] };
}

export function parking({ sink, why, event }: ParkedEvent): Statement {
  return {
    sql: "insert into outbox_parked(sink, why, event) values(?, ?, ?)",
    params: [sink, why, JSON.stringify(event)],
  };
}
