// A quota's state as rows of the database, and which row is whose.

import type { Statement } from "../lib/database.js";
import type { Counter, Share } from "./counters.js";
import { type HoldRow, put, type RequestRow, type ShareRow, type WindowRow } from "./journal-tables.js";
import type { ActorState, HoldState } from "./memory-state.js";
import { groupOf, type RuleState, textOf } from "./store.js";

/** What is in the database, or under way to it. Holds know their rows themselves. */
export interface KnownRows {
  readonly actors: WeakMap<ActorState, number>;
  /** Windows have no rows of their own, but numbers, by which holds name them. */
  readonly windows: WeakMap<Counter, number>;
  /** Requests of settled holds, in the order they were written. */
  readonly settled: SettledRow[];
  /** Abandoned holds that wait to be told of: those with the highest ids. */
  waiting: number;
  /** The highest numbers given out. */
  readonly last: { actor: number; window: number; hold: number; settled: number; abandoned: number };
}

/** Whose window it is, of many alike. */
export interface Member {
  readonly actor: ActorState;
  readonly key: string;
}

/** Requests that were written together. */
export interface SettledRow {
  readonly id: number;
  /** When the last of them was settled. */
  readonly at: number;
  readonly size: number;
}

/** Nothing. */
export function noRows(): KnownRows {
  return {
    actors: new WeakMap(),
    windows: new WeakMap(),
    settled: [],
    waiting: 0,
    last: { actor: 0, window: 0, hold: 0, settled: 0, abandoned: 0 },
  };
}

/** Statements that write things as they stand. What has no row gets one. */
export interface RowWriter {
  actors(states: Iterable<ActorState>): Statement;
  members(windows: Iterable<readonly [Counter, Member]>): Statement;
  holds(holds: Iterable<HoldState>): Statement;
  leases(holds: Iterable<HoldState>): Statement;
  settled(requests: readonly RequestRow[], at: number): Statement;
}

export function createRowWriter({ actors, windows, settled, last }: KnownRows): RowWriter {
  function idOf(actor: ActorState): number {
    const id = actors.get(actor) ?? ++last.actor;
    actors.set(actor, id);
    return id;
  }

  function serialOf(counter: Counter): number {
    const serial = windows.get(counter) ?? ++last.window;
    windows.set(counter, serial);
    return serial;
  }

  function windowsOf({ counters }: ActorState): WindowRow[] {
    const rows: WindowRow[] = [];
    for (const [key, counter] of counters) {
      const { used, openedAt, endsAt } = counter;
      if (endsAt !== Infinity && groupOf(key) === undefined)
        rows.push([serialOf(counter), key, used, openedAt, endsAt]);
    }
    return rows;
  }

  function shareRow({ rule, amount, counter }: Share, state: RuleState | undefined): ShareRow {
    const { used = 0, held = 0, resetAt = null } = state ?? {};
    if (rule.kind === "in_flight") return [rule.key, rule.limit, null, amount, null, used, held, null];
    return [rule.key, rule.limit, rule.windowMs, amount, serialOf(counter), used, held, resetAt];
  }

  function holdRow({ requestId, intent, shares, answer }: HoldState): HoldRow {
    const states = answer.kind === "admitted" ? answer.states : [];
    return [requestId, textOf(intent), shares.map((share, index) => shareRow(share, states[index]))];
  }

  return {
    actors: (states) => put.actors(Array.from(states, (actor) => [idOf(actor), actor.name, windowsOf(actor)])),
    members: (changed) =>
      put.members(
        Array.from(changed, ([counter, { actor, key }]) => {
          const { used, openedAt, endsAt } = counter;
          return [serialOf(counter), idOf(actor), key, used, openedAt, endsAt];
        }),
      ),
    holds: (added) =>
      put.holds(
        Array.from(added, (hold) => {
          if (hold.row === 0) hold.row = ++last.hold;
          return [hold.row, idOf(hold.actor), holdRow(hold), hold.dueAt, hold.reached ? 1 : 0];
        }),
      ),
    leases: (renewed) => put.leases(Array.from(renewed, ({ row, dueAt, reached }) => [row, dueAt, reached ? 1 : 0])),
    settled(requests, at) {
      const id = ++last.settled;
      settled.push({ id, at, size: requests.length });
      return put.settled(id, at, requests);
    },
  };
}
