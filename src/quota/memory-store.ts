import type { Clock } from "../lib/clock.js";
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
import { createDueList, type Due } from "./due-list.js";
import { createSettledIds } from "./settled-ids.js";
import type { AbandonedHold, QuotaStore, Reservation, ReserveCall, SettleCall, Settlement } from "./store.js";
import * as store from "./store.js";
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
}

interface ActorState {
  readonly name: string;
  readonly counters: Counters;
  /** Live holds by request id. */
  readonly holds: Map<string, HoldState>;
}

interface Admission {
  readonly requestId: string;
  readonly actor: ActorState;
  readonly answer: Reservation;
  readonly shares: readonly Share[];
  readonly intent: string;
}

/** A live hold; `dueAt` is the end of its lease. */
interface HoldState extends Admission, Due {
  reached: boolean;
}

const late = { kind: "late" } as const;
const gone = { kind: "gone" } as const;

/** A quota store for one process: exact, forgotten at its end. */
export function createMemoryQuotaStore(
  { clock }: { clock: Clock },
  { leaseMs = store.leaseMs, rememberMs = store.rememberMs, maxRemembered = 20_000 }: MemoryQuotaStoreOptions = {},
): QuotaStore {
  const actors = new Map<string, ActorState>();
  // Leases are equally long, so the first added is always the next to end.
  const leases = createDueList<HoldState>();
  const settledIds = createSettledIds(rememberMs, maxRemembered);
  const abandoned: AbandonedHold[] = [];
  const sweep = createSweeper(actors);

  /** Catches up with time. Every call does it first, so what it finds is what is true now. */
  function catchUp(now: number): void {
    for (let next = leases.first; next !== undefined && next.dueAt <= now; next = leases.first) abandon(next, now);
  }

  function abandon(found: HoldState, now: number): void {
    const { requestId, actor, reached: charged, intent } = found;
    abandoned.push({ requestId, actor: actor.name, charged, intent });
    end(found, charged ? {} : undefined, now);
  }

  /** Ends a live hold at what was used, by rule key; undefined: at nothing. */
  function end(found: HoldState, used: SettleCall["used"] | undefined, now: number): void {
    const { requestId, actor, shares } = found;
    for (const share of shares) settle(share, used === undefined ? 0 : used[share.rule.key]);
    leases.remove(found);
    actor.holds.delete(requestId);
    settledIds.add(actor.name, requestId, now);
  }

  function reserve(call: ReserveCall): Reservation {
    const now = clock.now();
    if (now > call.deadlineAt) return late;
    catchUp(now);
    const { requestId, rules } = call;
    const actor = actors.get(call.actor) ?? { name: call.actor, counters: new Map(), holds: new Map() };
    const seen = actor.holds.get(requestId);
    if (seen !== undefined) return seen.answer;
    if (settledIds.has(actor.name, requestId, now))
      return { kind: "admitted", states: statesOf(actor.counters, rules, now) };

    const shares = hold(actor.counters, rules, now);
    if (shares === undefined) return refusalBy(rules, statesOf(actor.counters, rules, now), now) as Refused;
    const answer = { kind: "admitted", states: statesOfShares(actor.counters, shares, now) } as const;
    add({ requestId, actor, answer, shares, intent: call.intent }, now);
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
      dueAt,
      before: undefined,
      after: undefined,
    };
    actor.holds.set(requestId, added);
    leases.add(added);
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
    if (found === undefined) return gone;
    const { shares, actor } = found;
    end(found, used, now);
    return { kind: "settled", states: statesOfShares(actor.counters, shares, now) };
  }

  return {
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
      }
    },
    async reap(max) {
      const now = clock.now();
      catchUp(now);
      sweep(max, now);
      return abandoned.splice(0, max);
    },
    async usage(actor, rules) {
      const now = clock.now();
      catchUp(now);
      return statesOf(actors.get(actor)?.counters, rules, now);
    },
    async reset(actor, keys) {
      const now = clock.now();
      catchUp(now);
      const counters = actors.get(actor)?.counters ?? new Map();
      const used = keys.map((key) => [key, closeWindow(counters, key, now)] as const);
      return Object.fromEntries(used.filter((entry): entry is [string, number] => entry[1] !== undefined));
    },
    async close() {},
  };
}

/** Looks at a few actors at each call, round and round, and drops what is over: no timers, and no long pauses. */
function createSweeper(actors: Map<string, ActorState>): (count: number, now: number) => void {
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
      if (counters.size === 0 && holds.size === 0) actors.delete(name);
    }
  };
}
