// The quota's state as the database has it.

import type { Database } from "../lib/database.js";
import { createShortLivedMap } from "../lib/short-lived.js";
import type { Counter, Share } from "./counters.js";
import { type KnownRows, noRows } from "./journal-rows.js";
import type { HoldRow, RequestRow, ShareRow, WindowRow } from "./journal-tables.js";
import type { ActorState, HoldState, MemoryState } from "./memory-state.js";
import type { AbandonedHold, RuleState } from "./store.js";

/** Rows read at once. */
const pageSize = 5_000;

interface Restoring {
  readonly database: Database;
  readonly state: MemoryState;
  readonly known: KnownRows;
  /** By their rows. */
  readonly actors: Map<number, ActorState>;
  /** By their serials, with the keys that they are counted under. */
  readonly windows: Map<number, { readonly key: string; readonly counter: Counter }>;
}

/** Puts what is in the database into an empty `state`; returns which row is whose. Windows that are over stay away. */
export async function restore(database: Database, state: MemoryState, now: number): Promise<KnownRows> {
  const restoring = { database, state, known: noRows(), actors: new Map(), windows: new Map() };
  await restoreActors(restoring, now);
  await restoreMembers(restoring, now);
  await restoreHolds(restoring);
  await restoreSettled(restoring);
  await restoreAbandoned(restoring);
  return restoring.known;
}

async function restoreActors({ database, state, known, actors, windows }: Restoring, now: number): Promise<void> {
  for await (const row of rowsOf(database, "quota_actors", "id, actor, windows")) {
    const { id, actor: name, windows: text } = row as { id: number; actor: string; windows: string };
    const actor: ActorState = { name, counters: new Map(), holds: createShortLivedMap() };
    for (const [serial, key, used, openedAt, endsAt] of JSON.parse(text) as WindowRow[]) {
      known.last.window = Math.max(known.last.window, serial);
      if (endsAt <= now) continue;
      const counter = { used, held: 0, openedAt, endsAt };
      actor.counters.set(key, counter);
      known.windows.set(counter, serial);
      windows.set(serial, { key, counter });
    }
    state.actors.set(name, actor);
    actors.set(id, actor);
    known.actors.set(actor, id);
    known.last.actor = id;
  }
}

/** The last one of a key is the one that counts. */
async function restoreMembers({ database, known, actors, windows }: Restoring, now: number): Promise<void> {
  for await (const row of rowsOf(database, "quota_members", "id, actor, key, used, opened_at, ends_at")) {
    const { id, actor: owner, key, used, opened_at: openedAt, ends_at: endsAt } = row as MemberColumns;
    known.last.window = Math.max(known.last.window, id);
    const actor = actors.get(owner);
    if (actor === undefined || endsAt <= now) continue;
    const counter = { used, held: 0, openedAt, endsAt };
    actor.counters.set(key, counter);
    known.windows.set(counter, id);
    windows.set(id, { key, counter });
  }
}

interface MemberColumns {
  readonly id: number;
  readonly actor: number;
  readonly key: string;
  readonly used: number;
  readonly opened_at: number;
  readonly ends_at: number;
}

async function restoreHolds({ database, known, actors, windows }: Restoring): Promise<void> {
  for await (const row of rowsOf(database, "quota_holds", "id, actor, hold, due_at, reached")) {
    const { id, actor: owner, hold: text, due_at: dueAt, reached } = row as Record<string, number> & { hold: string };
    known.last.hold = id as number;
    const actor = actors.get(owner as number);
    if (actor === undefined) continue;
    const [requestId, intent, shares] = JSON.parse(text) as HoldRow;
    for (const [, , , , serial] of shares) known.last.window = Math.max(known.last.window, serial ?? 0);
    const hold: HoldState = {
      requestId,
      actor,
      intent,
      answer: { kind: "admitted", states: shares.map(stateOf) },
      shares: shares.map((share) => shareOf(share, actor, windows)),
      dueAt: dueAt as number,
      reached: reached === 1,
      row: id as number,
      before: undefined,
      after: undefined,
    };
    actor.holds.set(requestId, hold);
  }
}

/** Counts a share where it was counted: in the window it names, or in none when that is over. */
function shareOf(
  [key, limit, windowMs, amount, serial]: ShareRow,
  actor: ActorState,
  windows: Restoring["windows"],
): Share {
  if (windowMs === null) {
    const counter = actor.counters.get(key) ?? { used: 0, held: 0, openedAt: 0, endsAt: Infinity };
    actor.counters.set(key, counter);
    counter.used += amount;
    counter.held += amount;
    return { rule: { kind: "in_flight", key, limit }, key, counter, amount };
  }
  const over = { key, counter: { used: amount, held: 0, openedAt: 0, endsAt: 0 } };
  const { key: counted, counter } = windows.get(serial ?? 0) ?? over;
  counter.held += amount;
  return { rule: { kind: "window", key, limit, windowMs, amount }, key: counted, counter, amount };
}

function stateOf([key, limit, , , , used, held, resetAt]: ShareRow): RuleState {
  return { key, used, held, limit, resetAt: resetAt ?? undefined };
}

async function restoreSettled({ database, state, known }: Restoring): Promise<void> {
  for await (const row of rowsOf(database, "quota_settled", "id, at, requests")) {
    const { id, at, requests: text } = row as { id: number; at: number; requests: string };
    const requests = JSON.parse(text) as RequestRow[];
    for (const [actor, requestId] of requests) state.settledIds.add(actor, requestId, at);
    known.settled.push({ id, at, size: requests.length });
    known.last.settled = id;
  }
}

async function restoreAbandoned({ database, state, known }: Restoring): Promise<void> {
  for await (const row of rowsOf(database, "quota_abandoned", "id, hold")) {
    const { id, hold } = row as { id: number; hold: string };
    state.abandoned.push(JSON.parse(hold) as AbandonedHold);
    known.waiting++;
    known.last.abandoned = id;
  }
}

/** All rows of a table by their ids, a page at a time. */
async function* rowsOf(database: Database, table: string, columns: string): AsyncGenerator<object> {
  let after = 0;
  for (;;) {
    const sql = `select ${columns} from ${table} where id > ? order by id limit ${pageSize}`;
    const rows = await database.read<{ id: number }>(sql, [after]);
    yield* rows;
    after = rows.at(-1)?.id ?? after;
    if (rows.length < pageSize) return;
  }
}
