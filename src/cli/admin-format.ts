// Values of messages as people read them.

import type { DescEnum } from "@bufbuild/protobuf";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { durationMs, timestampDate } from "@bufbuild/protobuf/wkt";
import { Origin } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { ErrorReason, ErrorReasonSchema, Feature, type RateLimit, Unit } from "../../gen/codygateway/v1/common_pb.js";
import { UsageError } from "./args.js";

/** `2026-11-25 21:40:03Z`; empty for an absent time. */
export function time(timestamp: Timestamp | undefined): string {
  return timestamp
    ? timestampDate(timestamp)
        .toISOString()
        .replace("T", " ")
        .replace(/\.\d+Z$/, "Z")
    : "";
}

/** `12 s ago`, `in 2 m`; empty for an absent time. */
export function relative(timestamp: Timestamp | undefined, now: number = Date.now()): string {
  if (!timestamp) return "";
  const ms = timestampDate(timestamp).getTime() - now;
  return ms < 0 ? `${span(-ms)} ago` : `in ${span(ms)}`;
}

export function duration(value: Duration | undefined): string {
  return value ? span(durationMs(value)) : "";
}

const units = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
  [1_000, "s"],
] as const;

/** One unit: `12 s`, `3 m`, `60 h`, `30 d`. Whole seconds, as settings have them, exactly; anything else rounded. */
export function span(ms: number): string {
  const exact = units.find(([length]) => ms >= length && ms % length === 0);
  const [length, unit] = exact ?? units.find(([each]) => ms >= 2 * each) ?? units[3];
  return ms >= 1_000 ? `${Math.round(ms / length)} ${unit}` : `${Math.round(ms)} ms`;
}

const features: Readonly<Record<string, Feature>> = {
  chat_completions: Feature.CHAT_COMPLETIONS,
  code_completions: Feature.CODE_COMPLETIONS,
  embeddings: Feature.EMBEDDINGS,
};

export function featureName(feature: Feature): string {
  return Object.keys(features).find((name) => features[name] === feature) ?? "";
}

/** Absent is unspecified. Throws `UsageError` for what is no feature. */
export function readFeature(name: string | undefined): Feature {
  if (name === undefined) return Feature.UNSPECIFIED;
  const feature = Object.hasOwn(features, name) ? features[name] : undefined;
  if (feature === undefined) throw new UsageError(`expected a feature: ${Object.keys(features).join(", ")}`);
  return feature;
}

export function unitName(unit: Unit): string {
  return { [Unit.TOKENS]: "tokens", [Unit.MICRO_DOLLARS]: "microdollars" }[unit as number] ?? "requests";
}

export function originName(origin: Origin): string {
  const names = {
    [Origin.SOURCE]: "source",
    [Origin.PLAN]: "plan",
    [Origin.OVERRIDE]: "override",
    [Origin.DEFAULT]: "default",
  };
  return names[origin as keyof typeof names] ?? "";
}

/** `14 of 500 requests / 24 h`. */
export function limitText({ used, limit, unit, interval, models, perUser }: RateLimit): string {
  const which = models.length > 0 ? ` of ${models.join(", ")}` : "";
  const whose = perUser ? " by the user" : "";
  return `${number(used)} of ${number(limit)} ${unitName(unit)} / ${duration(interval)}${which}${whose}`;
}

export function number(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

/** Cents, and what is less than one: `$1,234.50`, `$0.000045`. */
export function dollars(microDollars: bigint): string {
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 6 };
  return `$${(Number(microDollars) / 1_000_000).toLocaleString("en-US", digits)}`;
}

/** The word of an enum's value, in lower case: `QUOTA_EXCEEDED` as `quota exceeded`. */
export function word(names: DescEnum, value: number): string {
  return (names.value[value]?.localName ?? "").toLowerCase().replaceAll("_", " ");
}

/** `QUOTA_EXCEEDED`; empty for the unspecified reason. */
export function reasonName(reason: ErrorReason): string {
  return reason === ErrorReason.UNSPECIFIED ? "" : (ErrorReasonSchema.value[reason]?.localName ?? "");
}
