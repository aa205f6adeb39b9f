// The section `actors` of the configuration file.

import { hash } from "node:crypto";
import * as z from "zod";
import { type Actor, type Feature, type FeatureAccess, features } from "../actors/actor.js";
import type { StaticActor } from "../actors/sources/static.js";
import { minTokenLength } from "../actors/token.js";
import { byFeature, patterns, secret } from "./file-fields.js";
import { accessOf, perUserRules, rules } from "./file-limits.js";
import type { SecretReader } from "./secrets.js";
import { strict } from "./strict.js";

/** One actor, confirmed at `now`. */
export function actor(read: SecretReader, now: Date) {
  return strict({
    id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/, "expected letters, digits and . _ : @ -, 128 at most"),
    name: z.string().min(1).max(200).optional(),
    tokens: z.array(token(read)).min(1, "expected at least one token"),
    limits: byFeature(rules),
    perUserLimits: byFeature(perUserRules).default({}),
    models: byFeature(patterns).default({}),
  }).transform(({ id, name: title, tokens, limits, perUserLimits, models }): StaticActor => {
    const entries = features.flatMap((feature): [Feature, FeatureAccess][] => {
      const access = limits[feature] && accessOf(limits[feature], models[feature] ?? ["*"]);
      const perUser = perUserLimits[feature];
      return access ? [[feature, { ...access, ...(perUser && { perUser }) }]] : [];
    });
    const made: Actor = {
      id,
      name: title ?? id,
      source: "static",
      accessEnabled: true,
      features: Object.fromEntries(entries),
      updatedAt: now,
    };
    return { actor: made, tokenSha256: tokens };
  });
}

/** Becomes the SHA-256 of the token, in lower-case hex. */
function token(read: SecretReader) {
  return strict({
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, "expected 64 hex digits, the SHA-256 of the token")
      .optional(),
    ref: secret(read).optional(),
  }).transform(({ sha256, ref }, context): string => {
    if ((sha256 === undefined) === (ref === undefined)) {
      context.addIssue({ code: "custom", message: "expected either sha256 or ref" });
      return z.NEVER;
    }
    if (sha256 !== undefined) return sha256.toLowerCase();
    if (ref !== undefined && ref.length >= minTokenLength) return hash("sha256", ref, "hex");
    context.addIssue({
      code: "custom",
      path: ["ref"],
      message: `expected a token of ${minTokenLength} characters or more`,
    });
    return z.NEVER;
  });
}
