// Limits as headers: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (version 11),
// and the `x-ratelimit-*` headers that older clients read.

import type { RefusedLimit } from "../errors.js";
import type { LimitState } from "../quota/quota.js";
import { tightest } from "../quota/tightest.js";

/** `x-ratelimit-reset` and `t` are seconds from now: no clock is shared with the caller. */
export const rateLimitHeaders = {
  /** For an admitted request: all its windows, and the tightest one for older clients. Names and values in turn. */
  admitted(states: readonly LimitState[]): string[] {
    const main = tightest(states);
    if (!main) return [];
    let policies = "";
    let left = "";
    for (const state of states) {
      if (state.unit === "in_flight") continue;
      const separator = policies === "" ? "" : ", ";
      policies += separator + policy(state);
      left += separator + remaining(state);
    }
    return [
      "ratelimit-policy",
      policies,
      "ratelimit",
      left,
      "x-ratelimit-limit",
      String(main.limit),
      "x-ratelimit-remaining",
      String(main.remaining),
      "x-ratelimit-reset",
      String(secondsLeft(main)),
    ];
  },

  /** For a refused request: the limit that refused it. */
  refused({ feature, limit, perUser }: RefusedLimit, retryAfterSeconds: number): Record<string, string> {
    return {
      ratelimit: `"${feature}${perUser ? "_user" : ""}";r=0;t=${retryAfterSeconds}`,
      "x-ratelimit-limit": String(limit),
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": String(retryAfterSeconds),
    };
  },
};

function name({ feature, unit, burst, models, perUser }: LimitState): string {
  const which = `${burst ? "_burst" : ""}${models ? "_models" : ""}${perUser ? "_user" : ""}`;
  return `"${feature}${unit === "requests" ? "" : `_${unit}`}${which}"`;
}

function policy(state: LimitState): string {
  const unit = state.unit === "requests" ? "" : `;qu="${state.unit}"`;
  return `${name(state)};q=${state.limit}${unit};w=${Math.ceil((state.windowMs ?? 0) / 1000)}`;
}

function remaining(state: LimitState): string {
  return `${name(state)};r=${state.remaining};t=${secondsLeft(state)}`;
}

function secondsLeft({ resetAt, windowMs }: LimitState): number {
  const ms = resetAt === undefined ? (windowMs ?? 0) : resetAt.getTime() - Date.now();
  return Math.max(0, Math.ceil(ms / 1000));
}
