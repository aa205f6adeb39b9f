// The body of a chat completions request: what it asks for and what the gateway changes in it.

import type { JsonObject } from "../lib/json.js";
import { isObject, parseObject } from "./answers.js";
import {
  dropNegatives,
  editNested,
  editString,
  member,
  optionalBoolean,
  optionalNumber,
  requireArray,
  requiredString,
  textsOf,
} from "./fields.js";
import { isPlainChunk } from "./openai-usage.js";
import type { Asked, Edits, Rewrite } from "./provider.js";
import type { DropsEvent } from "./sse-filter.js";

export function readChat(body: JsonObject): Asked {
  const model = requiredString(body, "model");
  requireArray(body, "messages", "messages must be an array");
  const perChoice = optionalNumber(body, "max_completion_tokens") ?? optionalNumber(body, "max_tokens");
  const choices = Math.max(1, optionalNumber(body, "n") ?? 1);
  return {
    model,
    stream: optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: perChoice === undefined ? undefined : perChoice * choices,
  };
}

export function rewriteChat(body: JsonObject, { model, endUser, sourcegraph }: Rewrite): Edits {
  const edits: Edits = new Map();
  editString(body, edits, "model", model);
  if (endUser !== undefined) editString(body, edits, "user", endUser);
  // Without it a stream does not say what it used, and callers could leave their limits by leaving it out.
  if (optionalBoolean(body, "stream")) editNested(body, edits, "stream_options", "include_usage", "true");
  if (sourcegraph) {
    // Their clients read the first choice only.
    if ((optionalNumber(body, "n") ?? 1) > 1) edits.set("n", "1");
    dropNegatives(body, edits, ["top_p", "top_k", "temperature", "max_tokens"]);
  }
  return edits;
}

/** The chunk without choices that tells the usage, for callers that did not ask for it. */
export function unaskedChatEvent(body: JsonObject): DropsEvent | undefined {
  if (!optionalBoolean(body, "stream")) return undefined;
  const options = member(body, "stream_options");
  return isObject(options) && options.include_usage === true ? undefined : isUsageChunk;
}

function isUsageChunk(event: Buffer): boolean {
  const end = event.lastIndexOf(CLOSE_BRACE) + 1;
  if (isPlainChunk(event, end) || !event.includes(usageName)) return false;
  const chunk = parseObject(event.subarray(event.indexOf(OPEN_BRACE), end));
  return isObject(chunk?.usage) && Array.isArray(chunk.choices) && chunk.choices.length === 0;
}

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const usageName = Buffer.from('"usage"');

/** All texts of the conversation, a line each. Tools stand at the end: they count as prompt. */
export function promptOfChat(body: JsonObject): string {
  const messages = member(body, "messages");
  const texts = (Array.isArray(messages) ? messages : []).filter(isObject).flatMap(({ content }) => textsOf(content));
  const tools = body.raw("tools");
  return [...texts, ...(tools ? [tools] : [])].join("\n");
}
