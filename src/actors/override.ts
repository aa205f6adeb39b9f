// What an operator set for an actor in place of what its source says, and what then counts.

import type { Actor, Feature, FeatureAccess, Limit, PerUser } from "./actor.js";

/** What is set. */
export type OverrideSubject =
  /** Whether the actor has access at all. */
  | { readonly kind: "access"; readonly enabled: boolean }
  /**
   * Limits of a feature in place of all that the source set; none: those stay. `inFlight`, `perUser` absent: as without the override.
   * Limits grant the feature where the source does not, with all models.
   */
  | {
      readonly kind: "limits";
      readonly feature: Feature;
      readonly limits: readonly Limit[];
      readonly inFlight?: number;
      readonly perUser?: PerUser;
    }
  /** Patterns of models in place of those of the source; none: no access to the feature. */
  | { readonly kind: "allowed_models"; readonly feature: Feature; readonly models: readonly string[] };

/** One override of one actor. An actor has at most one of each name. */
export interface Override {
  readonly source: string;
  /** The actor's id within its source. */
  readonly id: string;
  readonly subject: OverrideSubject;
  /** Why, as the operator put it. */
  readonly reason: string;
  /** Who set it. */
  readonly setBy: string;
  /** ms since the epoch. */
  readonly setAt: number;
  /** When it ends by itself, ms since the epoch by the store's clock; absent: never. */
  readonly expiresAt?: number;
}

/** `access`, `limits/chat_completions`, `allowed_models/code_completions`. */
export function overrideName(subject: OverrideSubject): string {
  return subject.kind === "access" ? subject.kind : `${subject.kind}/${subject.feature}`;
}

/** The actor as it is with these overrides, in any order; the same object when there are none. */
export function applyOverrides(actor: Actor, overrides: readonly Override[]): Actor {
  if (overrides.length === 0) return actor;
  let { accessEnabled } = actor;
  const features: Partial<Record<Feature, FeatureAccess>> = { ...actor.features };
  for (const { subject } of overrides) {
    if (subject.kind === "access") accessEnabled = subject.enabled;
    if (subject.kind === "limits") setLimits(features, subject);
  }
  // Last: models of a feature count only where something grants it.
  for (const { subject } of overrides) if (subject.kind === "allowed_models") setModels(features, subject);
  return { ...actor, accessEnabled, features };
}

type Subject<K extends OverrideSubject["kind"]> = Extract<OverrideSubject, { kind: K }>;

function setLimits(features: Partial<Record<Feature, FeatureAccess>>, subject: Subject<"limits">): void {
  const { feature, limits, inFlight, perUser } = subject;
  const granted = features[feature];
  // A feature without limits is unlimited: what else is limited does not grant it alone.
  if (granted === undefined && limits.length === 0) return;
  features[feature] = {
    ...(granted ?? { models: ["*"] }),
    limits: limits.length > 0 ? limits : (granted?.limits ?? []),
    ...(inFlight !== undefined && { inFlight }),
    ...(perUser && { perUser }),
  };
}

function setModels(
  features: Partial<Record<Feature, FeatureAccess>>,
  { feature, models }: Subject<"allowed_models">,
): void {
  const granted = features[feature];
  if (models.length === 0) delete features[feature];
  else if (granted !== undefined) features[feature] = { ...granted, models };
}
