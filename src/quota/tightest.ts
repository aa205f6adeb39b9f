import type { LimitState } from "./quota.js";

/**
 * The limit that callers are told of when there is room for one: the window with the smallest share left; among equals the
 * first. Short windows against bursts and limits in flight are not it. Undefined when the actor has no other limit.
 */
export function tightest(states: readonly LimitState[]): LimitState | undefined {
  let found: LimitState | undefined;
  for (const state of states) {
    if (state.unit === "in_flight" || state.burst) continue;
    if (!found || state.remaining * found.limit < found.remaining * state.limit) found = state;
  }
  return found;
}
