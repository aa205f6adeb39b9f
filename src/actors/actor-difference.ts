// What differs between an actor as it is known and as its source tells of it now.

import { type Actor, type Feature, type FeatureAccess, features, type Limit, type PerUser } from "./actor.js";

/** An actor with the hashes of its tokens. */
export interface Told {
  readonly actor: Actor;
  readonly tokenHashes: readonly string[];
}

/** What has changed, in words for people; undefined when nothing has. When it was told of is no change. */
export function differenceOf(before: Told, after: Told): string | undefined {
  const changes: string[] = [];
  if (before.actor.name !== after.actor.name) changes.push("name");
  if (before.actor.accessEnabled !== after.actor.accessEnabled)
    changes.push(after.actor.accessEnabled ? "access switched on" : "access switched off");
  if (before.actor.withheld !== after.actor.withheld)
    changes.push(after.actor.withheld === undefined ? "access no longer withheld" : "access withheld");
  for (const feature of features) {
    const change = featureDifference(before.actor.features[feature], after.actor.features[feature]);
    if (change !== undefined) changes.push(`${feature}: ${change}`);
  }
  const tokens = tokenDifference(before.tokenHashes, after.tokenHashes);
  if (tokens !== undefined) changes.push(tokens);
  return changes.length === 0 ? undefined : changes.join(", ");
}

/** The features of which the length of a window changed, both before and after limited. */
export function changedIntervals(before: Actor, after: Actor): readonly Feature[] {
  return features.filter((feature) => {
    const [from, to] = [intervalsOf(before.features[feature]), intervalsOf(after.features[feature])];
    return from.length > 0 && to.length > 0 && from.join() !== to.join();
  });
}

/** Lengths of the windows that are quotas: short ones against bursts come and go with the gateway's settings. */
function intervalsOf(access: FeatureAccess | undefined): readonly number[] {
  const limits = access?.limits.filter(({ burst, amount }) => !burst && amount >= 1) ?? [];
  return limits.map(({ windowMs }) => windowMs);
}

function featureDifference(before: FeatureAccess | undefined, after: FeatureAccess | undefined): string | undefined {
  if (before === undefined || after === undefined) {
    if (before === after) return undefined;
    return after === undefined ? "taken away" : "granted";
  }
  const changes: string[] = [];
  if (!sameLimits(before.limits, after.limits)) changes.push("limits");
  if (!samePerUser(before.perUser, after.perUser)) changes.push("limits of each user");
  if (before.inFlight !== after.inFlight) changes.push("requests in flight");
  if (!sameList(before.models, after.models)) changes.push("models");
  return changes.length === 0 ? undefined : changes.join(" and ");
}

function sameLimits(a: readonly Limit[], b: readonly Limit[]): boolean {
  return a.length === b.length && a.every((limit, at) => sameLimit(limit, b[at]));
}

function samePerUser(a: PerUser | undefined, b: PerUser | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.inFlight === b.inFlight && a.percentage === b.percentage && sameLimits(a.limits, b.limits);
}

function sameLimit(a: Limit, b: Limit | undefined): boolean {
  return (
    a.amount === b?.amount &&
    a.unit === b.unit &&
    a.windowMs === b.windowMs &&
    (a.burst ?? false) === (b.burst ?? false) &&
    (a.models === b.models || (a.models !== undefined && b.models !== undefined && sameList(a.models, b.models)))
  );
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((each, at) => each === b[at]));
}

function tokenDifference(before: readonly string[], after: readonly string[]): string | undefined {
  if (sameList(before, after)) return undefined;
  const added = after.filter((token) => !before.includes(token)).length;
  const removed = before.filter((token) => !after.includes(token)).length;
  if (added === 0 && removed === 0) return undefined;
  return `tokens: ${[...(added ? [`${added} added`] : []), ...(removed ? [`${removed} removed`] : [])].join(", ")}`;
}
