// Limits as the RPCs tell them.

import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Feature, type RateLimit, RateLimitSchema, Unit } from "../../gen/codygateway/v1/common_pb.js";
import type { Feature as FeatureName, Unit as UnitName } from "../actors/actor.js";
import type { LimitState } from "../quota/quota.js";
import { tightest } from "../quota/tightest.js";

const featureEnum: Readonly<Record<FeatureName, Feature>> = {
  chat_completions: Feature.CHAT_COMPLETIONS,
  code_completions: Feature.CODE_COMPLETIONS,
  embeddings: Feature.EMBEDDINGS,
};

const unitEnum: Readonly<Record<UnitName, Unit>> = {
  requests: Unit.REQUESTS,
  tokens: Unit.TOKENS,
  microdollars: Unit.MICRO_DOLLARS,
};

export function toFeatureEnum(feature: FeatureName): Feature {
  return featureEnum[feature];
}

/** The feature an enum value stands for; unspecified is chat completions. */
export function fromFeatureEnum(feature: Feature): FeatureName {
  if (feature === Feature.CODE_COMPLETIONS) return "code_completions";
  return feature === Feature.EMBEDDINGS ? "embeddings" : "chat_completions";
}

export function toUnitEnum(unit: UnitName): Unit {
  return unitEnum[unit];
}

/** The unit an enum value stands for; unspecified is requests. */
export function fromUnitEnum(unit: Unit): UnitName {
  if (unit === Unit.TOKENS) return "tokens";
  return unit === Unit.MICRO_DOLLARS ? "microdollars" : "requests";
}

/** `RateLimit.name`. */
export function limitName({ feature, burst, perUser }: Pick<LimitState, "feature" | "burst" | "perUser">): string {
  return `${feature}${burst ? "_burst" : ""}${perUser ? "_user" : ""}`;
}

/** The limit that an answer tells of: of several the one with the smallest share left. */
export function chargedLimit(limits: readonly LimitState[]): { rateLimit?: RateLimit } {
  const state = tightest(limits);
  const message = state && toRateLimit(state);
  return message ? { rateLimit: message } : {};
}

/** A limit as a message; undefined for in-flight limits, which have fields of their own. */
export function toRateLimit(state: LimitState): RateLimit | undefined {
  if (state.unit === "in_flight") return undefined;
  return create(RateLimitSchema, {
    name: limitName(state),
    feature: featureEnum[state.feature],
    unit: unitEnum[state.unit],
    models: [...(state.models ?? [])],
    perUser: state.perUser,
    limit: BigInt(state.limit),
    used: BigInt(state.used),
    remaining: BigInt(state.remaining),
    ...(state.resetAt && { resetTime: timestampFromDate(state.resetAt) }),
    ...(state.windowMs !== undefined && { interval: durationFromMs(state.windowMs) }),
  });
}
