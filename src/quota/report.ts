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
  /** The store's time as the gateway's: whoever tells a caller how long to wait looks at the gateway's clock. */
  function toDate(at: number): Date {
    const ahead = clock.now() - store.now();
    return new Date(Math.abs(ahead) <= sameClockMs ? at : at + ahead);
  }

  return {
    states(limits, states) {
      const byKey = new Map(states.map((state) => [state.key, state]));
      return limits.flatMap((rule) => {
        const state = byKey.get(rule.key);
        if (state === undefined) return [];
        const { feature, unit, limit, windowMs, models, burst } = rule;
        const { used, held } = state;
        const resetAt = state.resetAt === undefined ? undefined : toDate(state.resetAt);
        const remaining = Math.max(0, limit - used);
        return [{ feature, unit, limit, used, held, remaining, resetAt, windowMs, models, burst }];
      });
    },
    refusal(limits, { state, retryAt }) {
      const rule = limits.find(({ key }) => key === state.key) as LimitRule;
      const { feature, unit, limit } = rule;
      const refused = { feature, unit, used: state.used, limit };
      if (unit === "in_flight") {
        // When a slot frees is anyone's guess; those who wait for one should not all come back together.
        return new TooManyInFlightError(refused, toDate(retryAt + Math.random() * 1_000));
      }
      return rule.burst
        ? new TooManyInFlightError(refused, toDate(retryAt))
        : new QuotaExceededError(refused, toDate(retryAt));
    },
  };
}
