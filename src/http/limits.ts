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
}

/** The limits of an actor, by feature; features without access are absent. */
export function limitsBody(
  actor: Actor,
  byFeature: ReadonlyMap<Feature, readonly LimitState[]>,
): Partial<Record<Feature, FeatureLimits>> {
  const body: Partial<Record<Feature, FeatureLimits>> = {};
  for (const [feature, states] of byFeature) {
    const main = tightest(states);
    if (!main) continue;
    body[feature] = {
      limit: main.limit,
      interval: formatGoDuration(main.windowMs ?? 0),
      usage: main.used,
      ...(main.used > 0 && main.resetAt && { expiry: main.resetAt.toISOString().replace(/\.\d+Z$/, "Z") }),
      allowedModels: actor.features[feature]?.models ?? [],
    };
  }
  return body;
}
