import type { Actor, Feature } from "../actors/actor.js";
import { formatGoDuration } from "../lib/duration.js";
import type { LimitState } from "../quota/quota.js";
import { tightest } from "../quota/tightest.js";

/** One feature as `GET /v1/limits` tells it (wire.md 1.7). */
interface FeatureLimits {
  readonly limit: number;
  /** Go duration: `24h0m0s`. */
  readonly interval: string;
  readonly usage: number;
  /** RFC 3339 with seconds; absent while nothing is used. */
  readonly expiry?: string;
  readonly allowedModels: readonly string[];
  /** What the user who asks has for itself, where each has a limit: the one with the smallest share left. */
  readonly perUser?: Omit<FeatureLimits, "allowedModels" | "perUser">;
}

/** The limits of an actor and of the user who asks, by feature; features without access are absent. */
export function limitsBody(
  actor: Actor,
  byFeature: ReadonlyMap<Feature, readonly LimitState[]>,
): Partial<Record<Feature, FeatureLimits>> {
  const body: Partial<Record<Feature, FeatureLimits>> = {};
  for (const [feature, states] of byFeature) {
    const main = tightest(states.filter(({ perUser }) => !perUser));
    const ofUser = tightest(states.filter(({ perUser }) => perUser));
    if (!main) continue;
    body[feature] = {
      ...limitBody(main),
      allowedModels: actor.features[feature]?.models ?? [],
      ...(ofUser && { perUser: limitBody(ofUser) }),
    };
  }
  return body;
}

function limitBody({ limit, windowMs, used, resetAt }: LimitState): Omit<FeatureLimits, "allowedModels" | "perUser"> {
  return {
    limit,
    interval: formatGoDuration(windowMs ?? 0),
    usage: used,
    ...(used > 0 && resetAt && { expiry: resetAt.toISOString().replace(/\.\d+Z$/, "Z") }),
  };
}
