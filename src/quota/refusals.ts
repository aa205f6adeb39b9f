// Refusals that still stand, so that a caller who hammers costs the store nothing.

import type { Demand } from "./estimates.js";
import type { LimitRule } from "./rules.js";
import type { Rule } from "./store.js";
import { heldAmount, passes, type Refused } from "./verdict.js";

export interface Refusals {
  /** The refusal that a request would meet again now. `demand` is asked only when it matters. */
  find(actor: string, limits: readonly LimitRule[], demand: Demand, now: number): Refused | undefined;
  /** Remembers that a request was refused by one of `rules`. */
  add(actor: string, rules: readonly Rule[], refused: Refused, now: number): void;
  /** A hold of the actor was settled: what it alone was in the way of may pass. */
  settled(actor: string): void;
  /** The actor's limits or usage were changed. */
  forget(actor: string): void;
}

export interface RefusalsOptions {
  /** Most actors remembered; the ones refused longest ago go first. Default 10,000. */
  readonly maxActors?: number;
  /** Most counters remembered of one actor, which has some for each of its users; likewise. Default 100. */
  readonly maxCounters?: number;
  /**
   * Longest that a refusal is believed, however far off its `retryAt`: bounds for how long a process refuses after another
   * one reset the counters and word of it got lost. Default 60 s.
   */
  readonly maxAgeMs?: number;
  /** Longest that a refusal is believed which holds of other processes may lift by being settled. Default 100 ms. */
  readonly unsettledMs?: number;
}

interface Remembered {
  readonly rule: Rule;
  readonly refused: Refused;
  /** Settled units alone leave nothing: every request is refused, whatever becomes of live holds. */
  readonly exhausted: boolean;
  /** Settled units alone were in the way of the refused request. */
  readonly firm: boolean;
  readonly until: number;
}

/** Times are those of the store. */
export function createRefusals({
  maxActors = 10_000,
  maxCounters = 100,
  maxAgeMs = 60_000,
  unsettledMs = 100,
}: RefusalsOptions = {}): Refusals {
  const byActor = new Map<string, Map<string, Remembered>>();

  return {
    find(actor, limits, demand, now) {
      const known = byActor.get(actor);
      if (known === undefined) return undefined;
      for (const limit of limits) {
        const found = known.get(limit.key);
        if (found === undefined || found.until <= now || !isRuleOf(limit, found.rule)) continue;
        if (found.exhausted || demand.amountOf(limit.unit) >= heldAmount(found.rule)) return found.refused;
      }
      return undefined;
    },
    add(actor, rules, refused, now) {
      const rule = rules.find(({ key }) => key === refused.state.key);
      if (rule === undefined) return;
      const settled = refused.state.used - refused.state.held;
      const exhausted = settled >= rule.limit;
      const firm = !passes(rule, settled);
      const until = Math.min(refused.retryAt, now + (firm ? maxAgeMs : unsettledMs));
      const known = byActor.get(actor) ?? new Map<string, Remembered>();
      known.delete(rule.key);
      known.set(rule.key, { rule, refused, exhausted, firm, until });
      if (known.size > maxCounters) known.delete(known.keys().next().value as string);
      byActor.delete(actor);
      byActor.set(actor, known);
      if (byActor.size > maxActors) byActor.delete(byActor.keys().next().value as string);
    },
    settled(actor) {
      const known = byActor.get(actor);
      if (known === undefined) return;
      for (const [key, { firm }] of known) if (!firm) known.delete(key);
      if (known.size === 0) byActor.delete(actor);
    },
    forget(actor) {
      byActor.delete(actor);
    },
  };
}

function isRuleOf(limit: LimitRule, rule: Rule): boolean {
  return rule.limit === limit.limit && (rule.kind === "in_flight" || rule.windowMs === limit.windowMs);
}
