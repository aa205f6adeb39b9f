// Whether a request passes its rules, from where they stand: the same for every store.

import { inFlightRetryMs, type Rule, type RuleState } from "./store.js";

/** A rule that a request did not pass; see `Reservation`. */
export interface Refused {
  readonly kind: "refused";
  readonly state: RuleState;
  readonly retryAt: number;
}

/** Whether a request passes a rule of which this much is used. */
export function passes(rule: Rule, used: number): boolean {
  // Written so that NaN does not pass.
  return used < rule.limit && used + heldAmount(rule) <= rule.limit;
}

/** Units that a request holds of a rule. */
export function heldAmount(rule: Rule): number {
  return rule.kind === "in_flight" ? 1 : Math.min(rule.amount, rule.limit);
}

/** Of the rules that do not pass, the one that takes longest; undefined when all pass. `states` are those of `rules`, in order. */
export function refusalBy(rules: readonly Rule[], states: readonly RuleState[], now: number): Refused | undefined {
  let longest: Refused | undefined;
  rules.forEach((rule, index) => {
    const state = states[index] as RuleState;
    if (passes(rule, state.used)) return;
    const retryAt = rule.kind === "in_flight" ? now + inFlightRetryMs : (state.resetAt ?? now + rule.windowMs);
    if (longest === undefined || retryAt > longest.retryAt) longest = { kind: "refused", state, retryAt };
  });
  return longest;
}
