// What the bodies of chat completions and of completions have in common, and what the gateway changes in them.

import type { JsonObject } from "../lib/json.js";
import { CLOSE_BRACE, OPEN_BRACE } from "../lib/json-bytes.js";
import { isLineEnd } from "../lib/line-ends.js";
import { isObject, parseObject } from "./answers.js";
import { dropNegatives, editNested, editString, member, optionalBoolean, optionalNumber } from "./fields.js";
import { isPlainChunk } from "./openai-usage.js";
import type { Edits, Rewrite } from "./provider.js";
import type { DropsEvent } from "./sse-filter.js";

/** How a server differs from OpenAI's. */
export interface BodyRules {
  /** Whether streams tell their usage only when they are asked to. */
  readonly asksForUsage: boolean;
  /** Whether it is told for whom a request is. */
  readonly namesEndUser: boolean;
}

export function createRewrite({ asksForUsage, namesEndUser }: BodyRules) {
  return (body: JsonObject, { model, endUser, sourcegraph }: Rewrite): Edits => {
    const edits: Edits = new Map();
    editString(body, edits, "model", model);
    if (endUser !== undefined && namesEndUser) editString(body, edits, "user", endUser);
    // Without it a stream does not say what it used, and callers could leave their limits by leaving it out.
    if (optionalBoolean(body, "stream") && (asksForUsage || includeUsage(body) !== undefined))
      editNested(body, edits, "stream_options", "include_usage", "true");
    // A field of the gateway's own.
    if (body.has("languageId")) edits.set("languageId", undefined);
    if (sourcegraph) {
      // Their clients read the first choice only.
      if ((optionalNumber(body, "n") ?? 1) > 1) edits.set("n", "1");
      dropNegatives(body, edits, ["top_p", "top_k", "temperature", "max_tokens"]);
    }
    return edits;
  };
}

/** The chunk without choices that tells the usage, for callers that did not ask for it. */
export function unaskedUsage(body: JsonObject): DropsEvent | undefined {
  if (!optionalBoolean(body, "stream")) return undefined;
  return includeUsage(body) === true ? undefined : isUsageChunk;
}

function includeUsage(body: JsonObject): unknown {
  const options = member(body, "stream_options");
  return isObject(options) ? options.include_usage : undefined;
}

function isUsageChunk(event: Buffer): boolean {
  let end = event.length;
  while (isLineEnd(event[end - 1])) end--;
  if (isPlainChunk(event, end) || !event.includes(usageName)) return false;
  const chunk = parseObject(event.subarray(event.indexOf(OPEN_BRACE), event.lastIndexOf(CLOSE_BRACE) + 1));
  return isObject(chunk?.usage) && Array.isArray(chunk.choices) && chunk.choices.length === 0;
}

const usageName = Buffer.from('"usage"');

/** How many answers are asked for. */
export function choicesOf(body: JsonObject): number {
  return Math.max(1, optionalNumber(body, "n") ?? 1);
}

/** The language of the prompt: a field of the gateway's own, which Cody sends. */
export function languageOf(body: JsonObject): string | undefined {
  const value = member(body, "languageId");
  return typeof value === "string" && value !== "" ? value : undefined;
}
