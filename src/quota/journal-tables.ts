// The tables of the quota store in the database of a data directory, and the statements that write to them. Rows are given as
// one JSON text for each statement: that costs both sides less than giving them one by one.

import type { Statement } from "../lib/database.js";

/** What makes each version of the tables out of the one before. */
export const versions: readonly string[] = [
  `create table quota_actors(id integer primary key, actor text not null, windows text not null) strict;
  create table quota_holds(
    id integer primary key, actor integer not null, hold text not null, due_at integer not null, reached integer not null
  ) strict;
  create table quota_settled(id integer primary key, at integer not null, requests text not null) strict;
  create table quota_abandoned(id integer primary key, hold text not null) strict;
  create table outbox(id integer primary key autoincrement, kind text not null, entry text not null) strict;`,
  `create table quota_members(
    id integer primary key, actor integer not null, key text not null,
    used integer not null, opened_at integer not null, ends_at integer not null
  ) strict;
  create index quota_members_by_actor on quota_members(actor);
  create index quota_members_by_end on quota_members(ends_at);`,
];

/**
 * `windows` of an actor: those that may still be open, but those of members, of which there may be thousands: they have rows of
 * their own. In-flight rules count holds, which are known.
 */
export type WindowRow = readonly [serial: number, key: string, used: number, openedAt: number, endsAt: number];

/** A member's window. */
export type MemberRow = readonly [
  serial: number,
  actor: number,
  key: string,
  used: number,
  openedAt: number,
  endsAt: number,
];

/** Rows of members that are removed at a time, once they are over: more than are added for as many requests. */
const purgedAtOnce = 500;

/** `hold` of a hold. */
export type HoldRow = readonly [requestId: string, intent: string, shares: readonly ShareRow[]];

/** What a hold has of one rule: as it was asked for, the window it counts in, and where the rule stood when it was admitted. */
export type ShareRow = readonly [
  key: string,
  limit: number,
  /** Of in-flight rules null, and so is `serial`. */
  windowMs: number | null,
  amount: number,
  serial: number | null,
  used: number,
  held: number,
  resetAt: number | null,
];

/** `requests` of settled holds: those that were written together. */
export type RequestRow = readonly [actor: string, requestId: string];

/**
 * `kind` of an entry of the outbox: how a request ended. That it began, its hold tells. Entries are JSON: `{ id, actor }` of the
 * request, and what the kind says below.
 */
export type OutboxKind =
  /** `outcome`. */
  | "finished"
  | "refunded"
  /** `intent`, `charged`. */
  | "abandoned";

/** Writes rows of a table anew, or adds to it. */
export const put = {
  actors: (rows: readonly (readonly [id: number, actor: string, windows: readonly WindowRow[]])[]): Statement =>
    rowsOf(
      `insert into quota_actors select value->>0, value->>1, value->2 from json_each(?) where true
      on conflict(id) do update set windows = excluded.windows`,
      rows,
    ),
  holds: (
    rows: readonly (readonly [id: number, actor: number, hold: HoldRow, dueAt: number, reached: 0 | 1])[],
  ): Statement =>
    rowsOf(
      `insert or replace into quota_holds
      select value->>0, value->>1, value->2, value->>3, value->>4 from json_each(?)`,
      rows,
    ),
  leases: (rows: readonly (readonly [id: number, dueAt: number, reached: 0 | 1])[]): Statement =>
    rowsOf(
      `update quota_holds set due_at = rows.value->>1, reached = rows.value->>2 from json_each(?) as rows
      where quota_holds.id = rows.value->>0`,
      rows,
    ),
  members: (rows: readonly MemberRow[]): Statement =>
    rowsOf(
      `insert or replace into quota_members
      select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 from json_each(?)`,
      rows,
    ),
  settled: (id: number, at: number, requests: readonly RequestRow[]): Statement => ({
    sql: "insert into quota_settled values(?, ?, ?)",
    params: [id, at, JSON.stringify(requests)],
  }),
  abandoned: (rows: readonly (readonly [id: number, hold: object])[]): Statement =>
    rowsOf("insert into quota_abandoned select value->>0, value->1 from json_each(?)", rows),
  outbox: (rows: readonly (readonly [kind: OutboxKind, entry: object])[]): Statement =>
    rowsOf("insert into outbox(kind, entry) select value->>0, value->1 from json_each(?)", rows),
};

/** Removes rows by their ids, or all up to one. */
export const remove = {
  actors: (ids: readonly number[]): Statement => idsOf("quota_actors", ids),
  /** Of these actors. */
  membersOf: (ids: readonly number[]): Statement => idsOf("quota_members", ids, "actor"),
  /** Some of those that are over. */
  members: (now: number): Statement => ({
    sql: `delete from quota_members where id in (select id from quota_members where ends_at <= ? limit ${purgedAtOnce})`,
    params: [now],
  }),
  holds: (ids: readonly number[]): Statement => idsOf("quota_holds", ids),
  settled: (upTo: number): Statement => ({ sql: "delete from quota_settled where id <= ?", params: [upTo] }),
  abandoned: (upTo: number): Statement => ({ sql: "delete from quota_abandoned where id <= ?", params: [upTo] }),
};

function idsOf(table: string, ids: readonly number[], column = "id"): Statement {
  return rowsOf(`delete from ${table} where ${column} in (select value from json_each(?))`, ids);
}

function rowsOf(sql: string, rows: readonly unknown[]): Statement {
  return { sql, params: [JSON.stringify(rows)] };
}
