// Actors, overrides and tokens as messages of the administration, and back.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampDate, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ActorOverride,
  ActorOverrideSchema,
  ActorSchema,
  ActorTokenSchema,
  type AllowedModelsOverride,
  FeatureAccessSchema,
  type LimitRule,
  LimitStateSchema,
  type LimitsOverride,
  Origin,
  type PerUserLimits,
  PerUserLimitsSchema,
  TokenRevocationSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { Unit } from "../../gen/codygateway/v1/common_pb.js";
import { type Feature, features, type Limit, type PerUser } from "../actors/actor.js";
import type { Known } from "../actors/directory.js";
import { type Override, type OverrideSubject, overrideName } from "../actors/override.js";
import type { Revocation } from "../actors/records.js";
import { AccessDisabledError, InvalidRequestError } from "../errors.js";
import type { LimitState } from "../quota/quota.js";
import { fromFeatureEnum, fromUnitEnum, toFeatureEnum, toRateLimit, toUnitEnum } from "./rate-limit.js";

/** An id that opens nothing, as the messages have it: hex. */
export function tokenIdOf(tokenHash: string): string {
  return Buffer.from(tokenHash, "base64url").toString("hex");
}

/** The hash that stands for the token of this id. */
export function tokenHashOf(tokenId: string): string {
  return Buffer.from(tokenId, "hex").toString("base64url");
}

export type LimitsByFeature = ReadonlyMap<Feature, readonly LimitState[]>;

/** `limits` undefined: not asked for. */
export function toActor(known: Known, limits: LimitsByFeature | undefined, stale: boolean) {
  const { source, id, actor, overrides, tokenHashes } = known;
  const granted = features.filter((feature) => actor.features[feature] !== undefined);
  return create(ActorSchema, {
    ref: { source, id },
    name: actor.name,
    accessEnabled: actor.accessEnabled,
    noAccessMessage: actor.accessEnabled ? "" : new AccessDisabledError(actor).message,
    features: granted.map(toFeatureEnum),
    overLimitFeatures: granted.filter((feature) => isOverLimit(limits?.get(feature) ?? [])).map(toFeatureEnum),
    overrideNames: overrides.map(({ subject }) => overrideName(subject)).toSorted(),
    tokenCount: tokenHashes.length,
    refreshTime: timestampFromDate(actor.updatedAt),
    stale,
  });
}

/** Whether one of the limits has nothing left. Requests in flight are no limit that is used up. */
export function isOverLimit(states: readonly LimitState[]): boolean {
  return states.some(({ unit, remaining }) => unit !== "in_flight" && remaining === 0);
}

/** What the actor has of each feature it has access to. */
export function toFeatures(known: Known, limits: LimitsByFeature) {
  return features.flatMap((feature) => {
    const access = known.actor.features[feature];
    if (!access || !known.actor.accessEnabled) return [];
    const states = limits.get(feature) ?? [];
    const inFlight = states.find(({ unit }) => unit === "in_flight");
    const overridden = limitsOverride(known, feature);
    const limitsFrom = overridden && overridden.limits.length > 0 ? Origin.OVERRIDE : Origin.SOURCE;
    return [
      create(FeatureAccessSchema, {
        feature: toFeatureEnum(feature),
        limits: states.flatMap((state) => toLimitState(state, state.burst ? Origin.DEFAULT : limitsFrom) ?? []),
        ...(inFlight && { inFlightLimit: inFlight.limit }),
        inFlightLimitOrigin: overridden?.inFlight === undefined ? Origin.SOURCE : Origin.OVERRIDE,
        inFlight: inFlight?.used ?? 0,
        allowedModels: [...access.models],
        allowedModelsOrigin: hasOverride(known, `allowed_models/${feature}`) ? Origin.OVERRIDE : Origin.SOURCE,
        ...(access.perUser && {
          perUser: toPerUser(access.perUser),
          perUserOrigin: overridden?.perUser ? Origin.OVERRIDE : perUserOrigin(known),
        }),
      }),
    ];
  });
}

/** Of the configuration file each actor's own, else a default for all of a source. */
function perUserOrigin({ source }: Known): Origin {
  return source === "static" ? Origin.SOURCE : Origin.DEFAULT;
}

/** A limit with where it comes from; undefined for limits in flight. */
export function toLimitState(state: LimitState, origin: Origin) {
  const rateLimit = toRateLimit(state);
  return rateLimit && create(LimitStateSchema, { rateLimit, origin, held: BigInt(state.held) });
}

export function accessOrigin(known: Known): Origin {
  return hasOverride(known, "access") ? Origin.OVERRIDE : Origin.SOURCE;
}

function hasOverride({ overrides }: Known, name: string): boolean {
  return overrides.some(({ subject }) => overrideName(subject) === name);
}

function limitsOverride({ overrides }: Known, feature: Feature) {
  for (const { subject } of overrides) if (subject.kind === "limits" && subject.feature === feature) return subject;
  return undefined;
}

export function toToken(tokenHash: string, revocation: Revocation | undefined) {
  return create(ActorTokenSchema, {
    id: tokenIdOf(tokenHash),
    ...(revocation && { revocation: toRevocation(revocation) }),
  });
}

export function toRevocation({ reason, revokedBy, revokedAt, expiresAt }: Revocation) {
  return create(TokenRevocationSchema, {
    reason,
    revokedBy,
    revokeTime: timestampFromMs(revokedAt),
    ...(expiresAt !== undefined && { expireTime: timestampFromMs(expiresAt) }),
  });
}

export function toOverride(override: Override) {
  const { source, id, subject, reason, setBy, setAt, expiresAt } = override;
  return create(ActorOverrideSchema, {
    actor: { source, id },
    name: overrideName(subject),
    subject: toSubject(subject),
    reason,
    setBy,
    setTime: timestampFromMs(setAt),
    ...(expiresAt !== undefined && { expireTime: timestampFromMs(expiresAt) }),
  });
}

type SubjectInit = NonNullable<MessageInitShape<typeof ActorOverrideSchema>["subject"]>;

function toSubject(subject: OverrideSubject): SubjectInit {
  if (subject.kind === "access") return { case: "access", value: { enabled: subject.enabled } };
  const feature = toFeatureEnum(subject.feature);
  if (subject.kind === "allowed_models")
    return { case: "allowedModels", value: { feature, models: [...subject.models] } };
  const limits = subject.limits.map(toLimitRule);
  return {
    case: "limits",
    value: {
      feature,
      limits,
      ...(subject.inFlight !== undefined && { inFlightLimit: subject.inFlight }),
      ...(subject.perUser && { perUser: toPerUser(subject.perUser) }),
    },
  };
}

function toPerUser({ limits, inFlight, percentage }: PerUser) {
  return create(PerUserLimitsSchema, {
    limits: limits.map(toLimitRule),
    ...(inFlight !== undefined && { inFlightLimit: inFlight }),
    ...(percentage !== undefined && { percentage }),
  });
}

function toLimitRule({ amount, unit, windowMs, models }: Limit) {
  const interval = { seconds: BigInt(Math.floor(windowMs / 1000)), nanos: (windowMs % 1000) * 1_000_000 };
  return { unit: toUnitEnum(unit), limit: BigInt(amount), interval, models: [...(models ?? [])] };
}

/** What an override sets. Throws `InvalidRequestError` when it sets nothing. */
export function fromSubject(subject: ActorOverride["subject"]): OverrideSubject {
  if (subject.case === "access") return { kind: "access", enabled: subject.value.enabled };
  if (subject.case === "limits") return fromLimits(subject.value);
  if (subject.case === "allowedModels") return fromModels(subject.value);
  throw new InvalidRequestError("expected access, limits or allowed_models", "subject");
}

function fromModels({ feature, models }: AllowedModelsOverride): OverrideSubject {
  return { kind: "allowed_models", feature: fromFeatureEnum(feature), models };
}

function fromLimits(message: LimitsOverride): OverrideSubject {
  const { limits, inFlightLimit, perUser } = message;
  const feature = fromFeatureEnum(message.feature);
  return {
    kind: "limits",
    feature,
    limits: limits.map((rule) => fromLimitRule(feature, rule)),
    ...(inFlightLimit !== undefined && { inFlight: inFlightLimit }),
    ...(perUser && { perUser: fromPerUser(feature, perUser) }),
  };
}

function fromPerUser(feature: Feature, { limits, inFlightLimit, percentage }: PerUserLimits): PerUser {
  return {
    limits: limits.map((rule) => fromLimitRule(feature, rule)),
    ...(inFlightLimit !== undefined && { inFlight: inFlightLimit }),
    ...(percentage !== undefined && { percentage }),
  };
}

function fromLimitRule(feature: Feature, { unit, limit, interval, models }: LimitRule): Limit {
  return {
    amount: Number(limit),
    unit: unit === Unit.UNSPECIFIED ? (feature === "embeddings" ? "tokens" : "requests") : fromUnitEnum(unit),
    windowMs: interval ? durationMs(interval) : 0,
    ...(models.length > 0 && { models }),
  };
}

/** ms since the epoch; undefined for an absent time. */
export function msOf(time: Parameters<typeof timestampDate>[0] | undefined): number | undefined {
  return time && timestampDate(time).getTime();
}
