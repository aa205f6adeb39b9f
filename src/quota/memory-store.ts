import type { Clock } from "../lib/clock.js";
import { createShortLivedMap } from "../lib/short-lived.js";
import { closeWindow, hold, statesOf, statesOfShares } from "./counters.js";
import { createHolds } from "./memory-holds.js";
import {
  type Changes,
  createMemoryState,
  type HoldState,
  type MemoryOptions,
  type MemoryState,
} from "./memory-state.js";
import type { QuotaStore, Reservation, ReserveCall, SettleCall, Settlement } from "./store.js";
import * as store from "./store.js";
import { textOf } from "./store.js";
import { type Refused, refusalBy } from "./verdict.js";

export interface MemoryQuotaStoreOptions extends MemoryOptions {
  /** How long a hold lives without being renewed. Default 30 s. */
  readonly leaseMs?: number;
  /** Most counters of an actor before new members share that of their group. Default 20,000. */
  readonly maxCounters?: number;
}

const late = { kind: "late" } as const;
const gone = { kind: "gone" } as const;

/**
 * A quota store for one process: exact, forgotten at its end, unless its `changes` are kept and it goes on from a `state`
 * that follows from them.
 */
export function createMemoryQuotaStore(
  parts: { clock: Clock; state?: MemoryState; changes?: Changes },
  { leaseMs = store.leaseMs, maxCounters = store.maxCounters, ...options }: MemoryQuotaStoreOptions = {},
): QuotaStore {
  const { clock, state = createMemoryState(options), changes } = parts;
  const { actors, settledIds, abandoned } = state;
  const holds = createHolds({ state, changes }, { leaseMs });

  function reserve(call: ReserveCall): Reservation {
    const now = clock.now();
    if (now > call.deadlineAt) return late;
    holds.catchUp(now);
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
    holds.add({ requestId, actor, answer, shares, intent }, now);
    return answer;
  }

  function finish(call: Omit<SettleCall, "used">, used: SettleCall["used"] | undefined): Settlement {
    const now = clock.now();
    if (now > call.deadlineAt) return late;
    holds.catchUp(now);
    const found = actors.get(call.actor)?.holds.get(call.requestId);
    const how = used === undefined ? "refunded" : "finished";
    if (found === undefined) {
      tellUnknown(how, call, now);
      return gone;
    }
    const { shares, actor } = found;
    holds.end(found, used, now);
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
    async renew(renewals) {
      const now = clock.now();
      holds.catchUp(now);
      for (const { actor, requestId, reached } of renewals) {
        const found = actors.get(actor)?.holds.get(requestId);
        if (found === undefined) continue;
        found.reached ||= reached;
        holds.renew(found, now);
      }
    },
    async reap(max) {
      const now = clock.now();
      holds.catchUp(now);
      holds.sweep(max, now);
      const found = abandoned.splice(0, max);
      if (found.length > 0) changes?.told(found.length);
      return found;
    },
    async usage(actor, rules) {
      const now = clock.now();
      holds.catchUp(now);
      return statesOf(actors.get(actor)?.counters, rules, now, maxCounters);
    },
    async reset(actor, keys) {
      const now = clock.now();
      holds.catchUp(now);
      const found = actors.get(actor);
      if (found === undefined) return {};
      const used = keys.map((key) => [key, closeWindow(found.counters, key, now)] as const);
      changes?.reset(found, keys);
      return Object.fromEntries(used.filter((entry): entry is [string, number] => entry[1] !== undefined));
    },
    async close() {},
  };
}
