// The live holds of a memory store, and how they end: settled, or with their leases.

import { createDueList } from "../lib/due-list.js";
import { dropEnded, settle } from "./counters.js";
import type { ActorState, Admission, Changes, HoldState, MemoryState } from "./memory-state.js";
import type { SettleCall } from "./store.js";
import { textOf } from "./store.js";

/** All live holds. */
export interface Holds {
  /** Catches up with time. Every call does it first, so what it finds is what is true now. */
  catchUp(now: number): void;
  /** A hold begins. */
  add(admitted: Admission, now: number): void;
  /** Ends a live hold at what was used, by rule key; undefined: at nothing. */
  end(found: HoldState, used: SettleCall["used"] | undefined, now: number): void;
  /** Makes its lease end later. */
  renew(found: HoldState, now: number): void;
  /** Looks at so many actors, and drops those of which nothing counts any more. */
  sweep(count: number, now: number): void;
}

/** Goes on with those that the state has. */
export function createHolds(
  { state, changes }: { readonly state: MemoryState; readonly changes: Changes | undefined },
  { leaseMs }: { readonly leaseMs: number },
): Holds {
  const { actors, settledIds, abandoned } = state;
  // Leases are equally long, so the first added is always the next to end.
  const leases = createDueList<HoldState>();
  const restored = [...actors.values()].flatMap(({ holds }) => [...holds.values()]);
  for (const each of restored.toSorted((a, b) => a.dueAt - b.dueAt)) leases.add(each);
  const sweep = createSweeper(actors, (actor) => changes?.dropped(actor));

  function catchUp(now: number): void {
    for (let next = leases.first; next !== undefined && next.dueAt <= now; next = leases.first) abandon(next, now);
  }

  function abandon(found: HoldState, now: number): void {
    const { requestId, actor, reached: charged, intent } = found;
    const told = { requestId, actor: actor.name, charged, intent: textOf(intent) };
    abandoned.push(told);
    end(found, charged ? {} : undefined, now);
    changes?.abandoned(told);
  }

  function end(found: HoldState, used: SettleCall["used"] | undefined, now: number): void {
    const { requestId, actor, shares } = found;
    for (const share of shares) settle(share, used === undefined ? 0 : used[share.rule.key]);
    leases.remove(found);
    actor.holds.delete(requestId);
    settledIds.add(actor.name, requestId, now);
    changes?.ended(found);
  }

  function add({ requestId, actor, answer, shares, intent }: Admission, now: number): void {
    const dueAt = now + leaseMs;
    const added = {
      requestId,
      actor,
      answer,
      shares,
      intent,
      reached: false,
      row: 0,
      dueAt,
      before: undefined,
      after: undefined,
    };
    actor.holds.set(requestId, added);
    leases.add(added);
    changes?.held(added);
    const { size } = actors;
    actors.set(actor.name, actor);
    // Two looked at for one added: the round comes to its end, however many are added during it.
    if (actors.size > size) sweep(2, now);
  }

  return {
    catchUp,
    add,
    end,
    renew(found, now) {
      leases.remove(found);
      found.dueAt = now + leaseMs;
      leases.add(found);
      changes?.renewed(found);
    },
    sweep,
  };
}

/** Looks at a few actors at each call, round and round, and drops what is over: no timers, and no long pauses. */
function createSweeper(
  actors: Map<string, ActorState>,
  onDropped: (actor: ActorState) => void,
): (count: number, now: number) => void {
  let hand = actors.values();
  return (count, now) => {
    for (let left = count; left > 0; left--) {
      const next = hand.next();
      if (next.done) {
        hand = actors.values();
        return;
      }
      const { name, counters, holds } = next.value;
      dropEnded(counters, now);
      if (counters.size > 0 || holds.size > 0) continue;
      actors.delete(name);
      onDropped(next.value);
    }
  };
}
