// What limits an actor has, as rules of the store.

import { createHash } from "node:crypto";
import type { Actor, EndUser, Feature, FeatureAccess, Limit, PerUser, Unit } from "../actors/actor.js";
import { AccessDisabledError, FeatureNotGrantedError } from "../errors.js";
import { compileGlobs } from "../lib/glob.js";
import { memberKey, type Rule } from "./store.js";
import { memberOf } from "./users.js";

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
  /** Of one user of the actor. */
  readonly perUser: boolean;
  readonly appliesTo: (model: string) => boolean;
  /** As a rule of the store, holding 1. */
  readonly rule: Rule;
}

/** The name that the store knows the actor by. */
export function actorKey(actor: Pick<Actor, "source" | "id">): string {
  return `${actor.source}:${actor.id}`;
}

/**
 * The limits that a request is counted in, those of its user last. Empty: it is not limited. Throws `AccessDisabledError` or
 * `FeatureNotGrantedError`.
 */
export function limitsFor(actor: Actor, feature: Feature, model: string, user?: EndUser): readonly LimitRule[] {
  if (!actor.accessEnabled) throw new AccessDisabledError(actor);
  const access = actor.features[feature];
  if (access === undefined) throw new FeatureNotGrantedError(feature);
  const { own, perUser } = rulesOf(feature, access);
  const all = perUser.length === 0 ? own : [...own, ...ofUser(perUser, user)];
  const applying = all.every(({ appliesTo }) => appliesTo === always)
    ? all
    : all.filter((rule) => rule.appliesTo(model));
  if (applying.some(({ limit }) => limit === 0)) throw new FeatureNotGrantedError(feature);
  return applying;
}

/**
 * All limits of a feature, and those of one user, where one is given; undefined when the actor has not been granted it.
 */
export function limitsOf(actor: Actor, feature: Feature, user?: EndUser): readonly LimitRule[] | undefined {
  const access = actor.features[feature];
  if (access === undefined) return undefined;
  const { own, perUser } = rulesOf(feature, access);
  if ([...own, ...perUser].some(({ limit, models }) => limit === 0 && models === undefined)) return undefined;
  return user === undefined ? own : [...own, ...ofUser(perUser, user)];
}

/** The rules of each user as those of this one. */
function ofUser(rules: readonly LimitRule[], user: EndUser | undefined): readonly LimitRule[] {
  const member = memberOf(user);
  return rules.map((rule) => {
    const key = memberKey(rule.key, member);
    return { ...rule, key, rule: { ...rule.rule, key } };
  });
}

/** A limit as a rule of the store. `amount` is what a request holds. */
export function toRule({ rule }: LimitRule, amount: number): Rule {
  if (rule.kind === "in_flight" || rule.amount === amount) return rule;
  return { kind: rule.kind, key: rule.key, limit: rule.limit, windowMs: rule.windowMs, amount };
}

/** `own` are the actor's, `perUser` those that each of its users has. */
interface CompiledRules {
  readonly own: readonly LimitRule[];
  readonly perUser: readonly LimitRule[];
}

// Sources hand out the same access for many requests, and its patterns and keys take a while to make.
const compiled = new WeakMap<FeatureAccess, Map<Feature, CompiledRules>>();

function rulesOf(feature: Feature, access: FeatureAccess): CompiledRules {
  const known = compiled.get(access)?.get(feature);
  if (known !== undefined) return known;
  const own = compile(feature, access, false);
  const rules = { own, perUser: access.perUser ? compile(feature, shareOf(access, access.perUser), true) : [] };
  compiled.set(access, new Map([...(compiled.get(access) ?? []), [feature, rules]]));
  return rules;
}

/** What one user has of it. */
function shareOf(access: Limits, { limits, inFlight, percentage }: PerUser): Limits {
  if (percentage === undefined) return { limits, ...(inFlight !== undefined && { inFlight }) };
  const part = (amount: number): number => (amount >= 1 ? Math.max(1, Math.floor((amount * percentage) / 100)) : 0);
  const shares = access.limits.flatMap((limit) => (limit.burst ? [] : [{ ...limit, amount: part(limit.amount) }]));
  const slots = inFlight ?? (access.inFlight === undefined ? undefined : part(access.inFlight));
  return { limits: [...limits, ...shares], ...(slots !== undefined && { inFlight: slots }) };
}

function always(): boolean {
  return true;
}

type Limits = Pick<FeatureAccess, "limits" | "inFlight">;

/** Limits in their order, short windows against bursts after the others, requests in flight last. */
function compile(feature: Feature, { limits, inFlight }: Limits, perUser: boolean): readonly LimitRule[] {
  const keys = counterKeys(feature, limits);
  const windows = limits.map((limit, index): LimitRule => {
    const { unit, windowMs, models, burst = false } = limit;
    const key = keys[index] ?? "";
    const amount = windowMs > 0 ? whole(limit.amount) : 0;
    const appliesTo = models === undefined ? always : compileGlobs(models);
    const rule: Rule = { kind: "window", key, limit: amount, windowMs, amount: 1 };
    return { key, feature, unit, limit: amount, windowMs, models, burst, perUser, appliesTo, rule };
  });
  const rules = [...windows.filter(({ burst }) => !burst), ...windows.filter(({ burst }) => burst)];
  if (inFlight === undefined) return rules;
  const key = `${feature}:in_flight`;
  const limit = whole(inFlight);
  const rule: Rule = { kind: "in_flight", key, limit };
  const common = { windowMs: undefined, models: undefined, burst: false, perUser, appliesTo: always };
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
