// Limits as they stand in the configuration file, of actors and of each of their users.

import * as z from "zod";
import type { FeatureAccess, Limit, PerUser } from "../actors/actor.js";
import { patterns } from "./file-fields.js";
import * as as from "./schemas.js";
import { strict } from "./strict.js";

const amount = z.number("expected a whole number from 0 to 2^53 - 1").int().min(0);

const ruleFields = {
  limit: amount.optional(),
  per: as.window.optional(),
  unit: z.enum(["requests", "tokens", "microdollars"]).optional(),
  models: patterns.optional(),
  inFlight: amount.optional(),
};

type RuleFields = z.output<ReturnType<typeof strict<typeof ruleFields>>>;

/** `{limit, per, unit?, models?}` or `{inFlight}`. */
const rule = strict(ruleFields).transform(readRule);

function readRule(given: RuleFields, context: z.RefinementCtx): Limit | { readonly inFlight: number } {
  const { limit, per, inFlight, unit = "requests", models } = given;
  const refuse = (path: string[], message: string) => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };
  if (inFlight !== undefined) return standsAlone(given, "inFlight", context) ? { inFlight } : z.NEVER;
  if (limit === undefined) return refuse([], "expected limit and per, or inFlight");
  if (per === undefined) return refuse(["per"], "expected a duration such as 24h, beside limit");
  return { amount: limit, unit, windowMs: per, ...(models && { models }) };
}

function standsAlone(given: object, key: string, context: z.RefinementCtx): boolean {
  const others = Object.keys(given).filter((each) => each !== key);
  if (others.length === 0) return true;
  context.addIssue({ code: "custom", path: [key], message: `expected alone, not beside ${others.join(", ")}` });
  return false;
}

/** All limits of one feature. */
export const rules = z.array(rule).superRefine((all, context) => {
  if (all.filter((each) => "inFlight" in each).length > 1) {
    context.addIssue({ code: "custom", message: "expected inFlight once" });
  }
});

/** The same, or `{percentage}`: a share of each limit of the actor. */
const perUserRule = strict({ ...ruleFields, percentage: as.share.optional() }).transform((given, context) => {
  const { percentage } = given;
  if (percentage === undefined) return readRule(given, context);
  return standsAlone(given, "percentage", context) ? { percentage } : z.NEVER;
});

/** All limits of one feature for each user. */
export const perUserRules = z
  .array(perUserRule)
  .superRefine((all, context) => {
    for (const key of ["inFlight", "percentage"] as const)
      if (all.filter((each) => key in each).length > 1)
        context.addIssue({ code: "custom", message: `expected ${key} once` });
  })
  .transform((all): PerUser => {
    const limits = all.filter((each) => "amount" in each);
    const inFlight = all.find((each) => "inFlight" in each)?.inFlight;
    const percentage = all.find((each) => "percentage" in each)?.percentage;
    return { limits, ...(inFlight !== undefined && { inFlight }), ...(percentage !== undefined && { percentage }) };
  });

/** A limit of 0 for all models, or of 0 in flight, is no access. */
export function accessOf(all: z.output<typeof rules>, models: readonly string[]): FeatureAccess | undefined {
  const limits = all.filter((each) => !("inFlight" in each)) as Limit[];
  const inFlight = all.find((each) => "inFlight" in each)?.inFlight;
  if (inFlight === 0 || limits.some((limit) => limit.amount === 0 && !limit.models)) return undefined;
  return { limits, models, ...(inFlight !== undefined && { inFlight }) };
}
