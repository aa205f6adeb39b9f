// What several sections of the configuration file have in them.

import * as z from "zod";
import type { SecretReader } from "./secrets.js";
import { strict } from "./strict.js";

/** One value for each feature, where it is given. */
export function byFeature<T extends z.ZodType>(schema: T) {
  return strict({
    chat_completions: schema.optional(),
    code_completions: schema.optional(),
    embeddings: schema.optional(),
  });
}

/** The entries that have a value. */
export function defined<T extends object>(entries: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as never;
}

const pattern = z.string().regex(/^[\x21-\x7e]{1,250}$/, "expected a model name or a pattern such as claude-*");
/** Names of models, or patterns of them. */
export const patterns = z.array(pattern).min(1, "expected at least one pattern, such as *");

/** The share that one of several has. */
export const weight = z.number("expected a whole number from 1 to 1000").int().min(1).max(1_000).default(1);

/** What a reference stands for. */
export function secret(read: SecretReader) {
  return z.string("expected a reference, env:NAME or file:/path").transform((reference, context) => {
    const found = read(reference);
    if ("secret" in found) return found.secret;
    context.addIssue({ code: "custom", message: `expected ${found.expected}` });
    return z.NEVER;
  });
}
