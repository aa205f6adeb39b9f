// What limits an actor has, as rules of the store.

import { createHash } from "node:crypto";
import type { Actor, Feature, FeatureAccess, Limit, Unit } from "../actors/actor.js";
import { AccessDisabledError, FeatureNotGrantedError } from "../errors.js";
import { compileGlobs } from "../lib/glob.js";
import type { Rule } from "./store.js";

/** One limit of an actor, ready to be asked of the store. */
export interface LimitRule {
  /** Names its counter within the actor. */
  readonly key: string;
  readonly feature: Feature;
  readonly unit: Unit | "in_flight";
  /** A whole number; 0 is no access. */
  readonly limit: number;
  /** Undefined for in-flight limits. */
  readonly windowMs: number | undefined;
  readonly models: readonly string[] | undefined;
  readonly burst: boolean;
  readonly appliesTo: (model: string) => boolean;
  /** As a rule of the store, holding 1. */
  readonly rule: Rule;
}

/** The name that the store knows the actor by. */
export function actorKey(actor: Pick<Actor, "source" | "id">): string {
  return `${actor.source}:${actor.id}`;
}

/**
 * The limits that a request is counted in. Empty: it is not limited. Throws `AccessDisabledError` or
 * `FeatureNotGrantedError`.
 */
export function limitsFor(actor: Actor, feature: Feature, model: string): readonly LimitRule[] {
  if (!actor.accessEnabled) throw new AccessDisabledError(actor);
  const access = actor.features[feature];
  if (access === undefined) throw new FeatureNotGrantedError(feature);
  const all = rulesOf(feature, access);
  const applying = all.every(({ appliesTo }) => appliesTo === always)
    ? all
    : all.filter((rule) => rule.appliesTo(model));
  if (applying.some(({ limit }) => limit === 0)) throw new FeatureNotGrantedError(feature);
  return applying;
}

/** All limits of a feature; undefined when the actor has not been granted it. */
export function limitsOf(actor: Actor, feature: Feature): readonly LimitRule[] | undefined {
  const access = actor.features[feature];
  if (access === undefined) return undefined;
  const rules = rulesOf(feature, access);
  return rules.some(({ limit, models }) => limit === 0 && models === undefined) ? undefined : rules;
}

/** A limit as a rule of the store. `amount` is what a request holds. */
export function toRule({ rule }: LimitRule, amount: number): Rule {
  return rule.kind === "in_flight" || rule.amount === amount ? rule : { ...rule, amount };
}

// Sources hand out the same access for many requests, and its patterns and keys take a while to make.
const compiled = new WeakMap<FeatureAccess, Map<Feature, readonly LimitRule[]>>();

function rulesOf(feature: Feature, access: FeatureAccess): readonly LimitRule[] {
  const known = compiled.get(access)?.get(feature);
  if (known !== undefined) return known;
  const rules = compile(feature, access);
  compiled.set(access, new Map([...(compiled.get(access) ?? []), [feature, rules]]));
  return rules;
}

function always(): boolean {
  return true;
}

/** Limits in their order, short windows against bursts after the others, requests in flight last. */
function compile(feature: Feature, { limits, inFlight }: FeatureAccess): readonly LimitRule[] {
  const keys = counterKeys(feature, limits);
  const windows = limits.map((limit, index): LimitRule => {
    const { unit, windowMs, models, burst = false } = limit;
    const key = keys[index] ?? "";
    const amount = windowMs > 0 ? whole(limit.amount) : 0;
    const appliesTo = models === undefined ? always : compileGlobs(models);
    const rule: Rule = { kind: "window", key, limit: amount, windowMs, amount: 1 };
    return { key, feature, unit, limit: amount, windowMs, models, burst, appliesTo, rule };
  });
  const rules = [...windows.filter(({ burst }) => !burst), ...windows.filter(({ burst }) => burst)];
  if (inFlight === undefined) return rules;
  const key = `${feature}:in_flight`;
  const limit = whole(inFlight);
  const rule: Rule = { kind: "in_flight", key, limit };
  const common = { windowMs: undefined, models: undefined, burst: false, appliesTo: always };
  return [...rules, { key, feature, unit: "in_flight", limit, ...common, rule }];
}

/**
 * Names of the limits' counters. They do not depend on amounts or lengths, so that a changed limit goes on counting where
 * it was. Limits alike but for those are told apart by rank, the longest window first.
 */
function counterKeys(feature: Feature, limits: readonly Limit[]): readonly string[] {
  const names = limits.map(({ unit, models, burst }) =>
    [feature, unit, ...modelsKey(models), ...(burst ? ["burst"] : [])].join(":"),
  );
  return limits.map(({ windowMs }, index) => {
    const before = limits.filter(
      (other, at) =>
        names[at] === names[index] && (other.windowMs > windowMs || (other.windowMs === windowMs && at < index)),
    );
    return before.length === 0 ? `${names[index]}` : `${names[index]}:${before.length}`;
  });
}

function modelsKey(models: readonly string[] | undefined): string[] {
  if (models === undefined || models.includes("*")) return [];
  const patterns = [...new Set(models.map((pattern) => pattern.toLowerCase()))].toSorted();
  return [createHash("sha256").update(JSON.stringify(patterns)).digest("hex").slice(0, 16)];
}

/** What is no number, or none above 0, is no access. */
function whole(amount: number): number {
  return amount >= 1 ? Math.min(Math.floor(amount), Number.MAX_SAFE_INTEGER) : 0;
}
