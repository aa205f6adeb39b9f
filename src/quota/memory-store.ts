import type { Clock } from "../lib/clock.js";
import { createDueList, type Due } from "../lib/due-list.js";
import { createShortLivedMap, type ShortLivedMap } from "../lib/short-lived.js";
import {
  type Counters,
  closeWindow,
  dropEnded,
  hold,
  type Share,
  settle,
  statesOf,
  statesOfShares,
} from "./counters.js";
import { createSettledIds, type SettledIds } from "./settled-ids.js";
import type { AbandonedHold, LazyText, QuotaStore, Reservation, ReserveCall, SettleCall, Settlement } from "./store.js";
import * as store from "./store.js";
import { textOf } from "./store.js";
import { type Refused, refusalBy } from "./verdict.js";

export interface MemoryQuotaStoreOptions {
  /** How long a hold lives without being renewed. Default 30 s. */
  readonly leaseMs?: number;
  /** How long a request id stays known after its hold was settled. Default 10 min. */
  readonly rememberMs?: number;
  /**
   * Most settled ids known at a time, the newest; bounds memory, where a process settles more than this in `rememberMs`.
   * In one process no reply is lost, so nothing is asked again minutes later. Default 20,000.
   */
  readonly maxRemembered?: number;
  /** Most counters of an actor before new members share that of their group. Default 20,000. */
  readonly maxCounters?: number;
}

/** What is known of an actor. */
export interface ActorState {
  readonly name: string;
  readonly counters: Counters;
  /** Live holds by request id. */
  readonly holds: ShortLivedMap<string, HoldState>;
}

interface Admission {
  readonly requestId: string;
  readonly actor: ActorState;
  readonly answer: Reservation;
  readonly shares: readonly Share[];
  readonly intent: LazyText;
}

/** A live hold; `dueAt` is the end of its lease. */
export interface HoldState extends Admission, Due {
  reached: boolean;
  /** Where whoever keeps the changes has it; 0: nowhere. Its keeper's own. */
  row: number;
}

/** All that a memory store knows. */
export interface MemoryState {
  readonly actors: Map<string, ActorState>;
  readonly settledIds: SettledIds;
  /** Settled at the end of their lease, and not told of yet. */
  readonly abandoned: AbandonedHold[];
}

/** Told of each change just after it, in order, before anything else happens. Must not throw. */
export interface Changes {
  held(added: HoldState): void;
  /** How a request ended: after `ended`, or, where there was no hold, once. */
  settled(how: "finished" | "refunded", call: Pick<SettleCall, "requestId" | "actor" | "outcome">): void;
  /** Its lease ended, after `ended`. */
  abandoned(found: AbandonedHold): void;
  /** A hold is no more, and its actor's counters say so. */
  ended(hold: HoldState): void;
  renewed(hold: HoldState): void;
  /** Windows of the actor were closed: those with these keys. */
  reset(actor: ActorState, keys: readonly string[]): void;
  /** Nothing of the actor counts any more. */
  dropped(actor: ActorState): void;
  /** So many abandoned holds, the first, were told of. */
  told(count: number): void;
}

const late = { kind: "late" } as const;
const gone = { kind: "gone" } as const;

/** The state of a store that nobody has asked yet. */
export function createMemoryState({
  rememberMs = store.rememberMs,
  maxRemembered = 20_000,
}: Pick<MemoryQuotaStoreOptions, "rememberMs" | "maxRemembered"> = {}): MemoryState {
  return { actors: new Map(), settledIds: createSettledIds(rememberMs, maxRemembered), abandoned: [] };
}

/**
 * A quota store for one process: exact, forgotten at its end, unless its `changes` are kept and it goes on from a `state`
 * that follows from them.
 */
export function createMemoryQuotaStore(
  { clock, state, changes }: { clock: Clock; state?: MemoryState; changes?: Changes },
  { leaseMs = store.leaseMs, maxCounters = store.maxCounters, ...options }: MemoryQuotaStoreOptions = {},
): QuotaStore {
  const { actors, settledIds, abandoned } = state ?? createMemoryState(options);
  // Leases are equally long, so the first added is always the next to end.
  const leases = createDueList<HoldState>();
  const restored = [...actors.values()].flatMap(({ holds }) => [...holds.values()]);
  for (const each of restored.toSorted((a, b) => a.dueAt - b.dueAt)) leases.add(each);
  const sweep = createSweeper(actors, (actor) => changes?.dropped(actor));

  /** Catches up with time. Every call does it first, so what it finds is what is true now. */
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

  /** Ends a live hold at what was used, by rule key; undefined: at nothing. */
  function end(found: HoldState, used: SettleCall["used"] | undefined, now: number): void {
    const { requestId, actor, shares } = found;
    for (const share of shares) settle(share, used === undefined ? 0 : used[share.rule.key]);
    leases.remove(found);
    actor.holds.delete(requestId);
    settledIds.add(actor.name, requestId, now);
    changes?.ended(found);
  }

  function reserve(call: ReserveCall): Reservation {
    const now = clock.now();
    if (now > call.deadlineAt) return late;
    catchUp(now);
    const { requestId, rules } = call;
    const actor = actors.get(call.actor) ?? {
      name: call.actor,
      counters: new Map(),
      holds: createShortLivedMap<string, HoldState>(),
    };
    const seen = actor.holds.get(requestId);
    if (seen !== undefined) return seen.answer;
    if (settledIds.has(actor.name, requestId, now))
      return { kind: "admitted", states: statesOf(actor.counters, rules, now, maxCounters) };

    const shares = hold(actor.counters, rules, now, maxCounters);
    if (shares === undefined)
      return refusalBy(rules, statesOf(actor.counters, rules, now, maxCounters), now) as Refused;
    const answer = { kind: "admitted", states: statesOfShares(actor.counters, shares, now, maxCounters) } as const;
    // Changes are written down, so the text is needed.
    const intent = changes === undefined ? call.intent : textOf(call.intent);
    add({ requestId, actor, answer, shares, intent }, now);
    return answer;
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

  function finish(call: Omit<SettleCall, "used">, used: SettleCall["used"] | undefined): Settlement {
    const now = clock.now();
    if (now > call.deadlineAt) return late;
    catchUp(now);
    const found = actors.get(call.actor)?.holds.get(call.requestId);
    const how = used === undefined ? "refunded" : "finished";
    if (found === undefined) {
      tellUnknown(how, call, now);
      return gone;
    }
    const { shares, actor } = found;
    end(found, used, now);
    changes?.settled(how, call);
    return { kind: "settled", states: statesOfShares(actor.counters, shares, now, maxCounters) };
  }

  /** How a request ended that was let in without this store. */
  function tellUnknown(how: "finished" | "refunded", call: Omit<SettleCall, "used">, now: number): void {
    const { actor, requestId, outcome } = call;
    if (outcome === "" || settledIds.has(actor, requestId, now)) return;
    settledIds.add(actor, requestId, now);
    changes?.settled(how, call);
  }

  return {
    tellsOutbox: false,
    now: () => clock.now(),
    reserve: (call) => Promise.resolve(reserve(call)),
    commit: (call) => Promise.resolve(finish(call, call.used)),
    refund: (call) => Promise.resolve(finish(call, undefined)),
    async renew(holds) {
      const now = clock.now();
      catchUp(now);
      for (const { actor, requestId, reached } of holds) {
        const found = actors.get(actor)?.holds.get(requestId);
        if (found === undefined) continue;
        found.reached ||= reached;
        leases.remove(found);
        found.dueAt = now + leaseMs;
        leases.add(found);
        changes?.renewed(found);
      }
    },
    async reap(max) {
      const now = clock.now();
      catchUp(now);
      sweep(max, now);
      const found = abandoned.splice(0, max);
      if (found.length > 0) changes?.told(found.length);
      return found;
    },
    async usage(actor, rules) {
      const now = clock.now();
      catchUp(now);
      return statesOf(actors.get(actor)?.counters, rules, now, maxCounters);
    },
    async reset(actor, keys) {
      const now = clock.now();
      catchUp(now);
      const found = actors.get(actor);
      if (found === undefined) return {};
      const used = keys.map((key) => [key, closeWindow(found.counters, key, now)] as const);
      changes?.reset(found, keys);
      return Object.fromEntries(used.filter((entry): entry is [string, number] => entry[1] !== undefined));
    },
    async close() {},
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
