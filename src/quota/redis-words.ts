// What is said to the quota scripts, and how their answers read.

import type { ScriptAnswer } from "../lib/redis-runs.js";
import { Answer } from "./scripts.js";
import type { Reservation, Rule, RuleState, SettleCall } from "./store.js";

const late = { kind: "late" } as const;

/** Length of a rule's window; in flight there is none. */
export function windowArg(rule: Rule): string {
  return rule.kind === "in_flight" ? "0" : String(rule.windowMs);
}

/** What a rule adds to the arguments of a reservation. */
export function addRule(args: string[], rule: Rule): void {
  args.push(rule.key, String(rule.limit), windowArg(rule), rule.kind === "in_flight" ? "1" : String(rule.amount));
}

/** Adds to the arguments of a settlement what was used. */
export function addUsed(args: string[], used: SettleCall["used"]): void {
  for (const key of Object.keys(used)) {
    const units = used[key] ?? Number.NaN;
    // What is no amount is not told: then what was held is charged.
    if (units >= 0) args.push(key, String(Math.min(units, Number.MAX_SAFE_INTEGER)));
  }
}

/** What came of a reservation by these rules. */
export function readReservation(answer: ScriptAnswer, rules: readonly Rule[]): Reservation {
  switch (answer[0]) {
    case Answer.late:
      return late;
    case Answer.seen:
      return { kind: "admitted", states: namedStates(answer) };
    case Answer.refused: {
      const rule = rules[Number(answer[2])] as Rule;
      return { kind: "refused", state: stateAt(rule, answer, 3), retryAt: Number(answer[6]) };
    }
    default:
      return { kind: "admitted", states: rules.map((rule, index) => stateAt(rule, answer, 2 + 3 * index)) };
  }
}

/** What stands from `at`: used, held, resetAt. */
export function stateAt({ key, limit }: Pick<Rule, "key" | "limit">, answer: ScriptAnswer, at: number): RuleState {
  const resetAt = Number(answer[at + 2]);
  return { key, used: Number(answer[at]), held: Number(answer[at + 1]), limit, resetAt: resetAt || undefined };
}

/** States that bring along what they are of: key, limit, used, held, resetAt. */
export function namedStates(answer: ScriptAnswer): RuleState[] {
  return Array.from({ length: (answer.length - 2) / 5 }, (_, index) => {
    const at = 2 + 5 * index;
    return stateAt({ key: answer[at] as string, limit: Number(answer[at + 1]) }, answer, at + 2);
  });
}
