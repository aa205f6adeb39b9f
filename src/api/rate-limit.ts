// Limits as the RPCs tell them.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Feature, type RateLimitSchema, Unit } from "../../gen/codygateway/v1/common_pb.js";
import type { Feature as FeatureName, Unit as UnitName } from "../actors/actor.js";
import type { LimitState } from "../quota/quota.js";

/** A limit as a message. In-flight limits have fields of their own and are none. */
export type RateLimitInit = MessageInitShape<typeof RateLimitSchema>;

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

export function toRateLimit(state: LimitState): RateLimitInit | undefined {
  if (state.unit === "in_flight") return undefined;
  return {
    name: state.burst ? `${state.feature}_burst` : state.feature,
    feature: featureEnum[state.feature],
    unit: unitEnum[state.unit],
    models: [...(state.models ?? [])],
    limit: BigInt(state.limit),
    used: BigInt(state.used),
    remaining: BigInt(state.remaining),
    ...(state.resetAt && { resetTime: timestampFromDate(state.resetAt) }),
    ...(state.windowMs !== undefined && { interval: durationFromMs(state.windowMs) }),
  };
}
