import { type GatewayError, QuotaExceededError, TooManyInFlightError } from "../errors.js";
import type { Clock } from "../lib/clock.js";
import type { LimitState } from "./quota.js";
import type { LimitRule } from "./rules.js";
import type { QuotaStore, RuleState } from "./store.js";
import type { Refused } from "./verdict.js";

/** The store's answers as callers are told them. */
export interface Report {
  /** Where `limits` stand, in their order; those that the store said nothing of are left out. */
  states(limits: readonly LimitRule[], states: readonly RuleState[]): readonly LimitState[];
  /** What is thrown at a caller whom one of `limits` refused. */
  refusal(limits: readonly LimitRule[], refused: Refused): GatewayError;
}

/** Two readings of one clock may differ by this. */
const sameClockMs = 2;

export function createReport({ store, clock }: { store: Pick<QuotaStore, "now">; clock: Clock }): Report {
  /** What turns the store's time into the gateway's: whoever tells a caller how long to wait looks at the gateway's clock. */
  function aheadMs(): number {
    const ahead = clock.now() - store.now();
    return Math.abs(ahead) <= sameClockMs ? 0 : ahead;
  }

  return {
    states(limits, states) {
      const ahead = aheadMs();
      const told: LimitState[] = [];
      for (let at = 0; at < limits.length; at++) {
        const rule = limits[at] as LimitRule;
        // Stores answer in the order in which they were asked.
        const state = states[at]?.key === rule.key ? states[at] : states.find(({ key }) => key === rule.key);
        if (state === undefined) continue;
        const { feature, unit, limit, windowMs, models, burst, perUser } = rule;
        const { used, held } = state;
        const resetAt = state.resetAt === undefined ? undefined : new Date(state.resetAt + ahead);
        const remaining = Math.max(0, limit - used);
        told.push({ feature, unit, limit, used, held, remaining, resetAt, windowMs, models, burst, perUser });
      }
      return told;
    },
    refusal(limits, { state, retryAt }) {
      const rule = limits.find(({ key }) => key === state.key) as LimitRule;
      const { feature, unit, limit, windowMs, models, perUser } = rule;
      const refused = { feature, unit, used: state.used, limit, windowMs, models, perUser };
      // When a slot frees is anyone's guess; those who wait for one should not all come back together.
      const spreadMs = unit === "in_flight" ? Math.random() * 1_000 : 0;
      const at = new Date(retryAt + aheadMs() + spreadMs);
      const tooMuchAtOnce = unit === "in_flight" || rule.burst;
      return tooMuchAtOnce ? new TooManyInFlightError(refused, at) : new QuotaExceededError(refused, at);
    },
  };
}
