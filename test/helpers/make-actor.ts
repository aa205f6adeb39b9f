import type { Actor, Feature, FeatureAccess, Limit } from "../../src/actors/actor.js";

/** An actor with access to whatever, unlimited where nothing else is said. */
export function makeActor({ features, ...overrides }: Partial<Omit<Actor, "features">> & FeaturesOverride = {}): Actor {
  const access = Object.entries(features ?? { chat_completions: {} }).map(([feature, given]) => [
    feature,
    makeAccess(given),
  ]);
  return {
    id: "acme",
    name: "Acme Inc",
    source: "static",
    accessEnabled: true,
    features: Object.fromEntries(access) as Actor["features"],
    updatedAt: new Date(Date.UTC(2026, 0, 1)),
    ...overrides,
  };
}

/** Access to all models, unlimited where nothing else is said. */
export function makeAccess(overrides: Partial<FeatureAccess> = {}): FeatureAccess {
  return { limits: [], models: ["*"], ...overrides };
}

/** 10 requests a day where nothing else is said. */
export function makeLimit(overrides: Partial<Limit> = {}): Limit {
  return { amount: 10, unit: "requests", windowMs: 86_400_000, ...overrides };
}

interface FeaturesOverride {
  readonly features?: Readonly<Partial<Record<Feature, Partial<FeatureAccess>>>>;
}
