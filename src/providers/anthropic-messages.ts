// The body of an Anthropic Messages request: what it asks for and what the gateway changes in it.

import { InvalidRequestError } from "../errors.js";
import { type JsonObject, JsonSyntaxError } from "../lib/json.js";
import { isObject } from "./answers.js";
import {
  dropNegatives,
  editNested,
  editString,
  member,
  optionalBoolean,
  optionalNumber,
  requireArray,
  requiredString,
} from "./fields.js";
import type { Asked, Edits, Rewrite } from "./provider.js";
import { textsOf, toolsOf } from "./texts.js";

export function readMessages(body: JsonObject): Asked {
  const model = requiredString(body, "model");
  requireArray(body, "messages", 'request body must contain "messages" field');
  return {
    model,
    stream: optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: optionalNumber(body, "max_tokens"),
  };
}

export function rewriteMessages(body: JsonObject, { model, endUser, sourcegraph }: Rewrite): Edits {
  const edits: Edits = new Map();
  editString(body, edits, "model", model);
  if (sourcegraph) {
    const asked = optionalNumber(body, "max_tokens") ?? 0;
    if (asked > sourcegraph.maxTokens)
      throw new InvalidRequestError(
        `max_tokens exceeds maximum allowed value of ${sourcegraph.maxTokens}: ${asked}`,
        "max_tokens",
      );
    moveSystem(body, edits);
    // Cody's default for "not set" is -1, which Anthropic refuses.
    dropNegatives(body, edits, ["top_p", "top_k"]);
  }
  if (endUser !== undefined) editNested(body, edits, "metadata", "user_id", JSON.stringify(endUser));
  return edits;
}

/** `count_tokens` has no other fields to change: it produces nothing and knows no end user. */
export function rewriteCountTokens(body: JsonObject, { model }: Rewrite): Edits {
  const edits: Edits = new Map();
  editString(body, edits, "model", model);
  return edits;
}

/**
 * Sourcegraph instances send the system prompt as the first message, and their `system` was never looked at. The other
 * messages keep their bytes.
 */
function moveSystem(body: JsonObject, edits: Edits): void {
  const messages = messageTexts(body);
  const first = parseMessage(messages[0]);
  const isSystem = first?.role === "system";
  const system = isSystem ? systemText(first.content) : undefined;
  if (system !== undefined || body.has("system")) edits.set("system", system);
  if (isSystem) edits.set("messages", `[${messages.slice(1).join(",")}]`);
}

function messageTexts(body: JsonObject): readonly string[] {
  try {
    return body.items("messages") ?? [];
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new InvalidRequestError("messages has too many elements", "messages");
  }
}

function parseMessage(text: string | undefined): { role?: unknown; content?: unknown } | undefined {
  if (text === undefined) return undefined;
  try {
    const message: unknown = JSON.parse(text);
    return isObject(message) ? message : undefined;
  } catch {
    throw new InvalidRequestError("messages[0] is not valid JSON", "messages[0]");
  }
}

/** A system message's content as top-level `system`: one plain text as a string, several as the parts they are. */
function systemText(content: unknown): string | undefined {
  if (typeof content === "string") return content === "" ? undefined : JSON.stringify(content);
  if (!Array.isArray(content)) return undefined;
  const parts = content.filter(
    (part: unknown) => isObject(part) && part.type === "text" && typeof part.text === "string" && part.text !== "",
  ) as Record<string, unknown>[];
  const [only] = parts;
  if (only === undefined) return undefined;
  const plain = parts.length === 1 && Object.keys(only).length === 2;
  return JSON.stringify(plain ? only.text : parts);
}

/** The conversation in one text, by speaker. Tools stand at the end: they count as prompt. */
export function promptOfMessages(body: JsonObject): string {
  const messages = member(body, "messages");
  const turns = (Array.isArray(messages) ? messages : []).filter(isObject).map(({ role, content }) => {
    return `${speakers.get(role) ?? "Human"}: ${textsOf(content).join("\n")}`;
  });
  const system = textsOf(member(body, "system")).join("\n");
  return [...(system ? [`System: ${system}`] : []), ...turns, ...toolsOf(body)].map((text) => `${text}\n\n`).join("");
}

const speakers = new Map<unknown, string>([
  ["user", "Human"],
  ["assistant", "Assistant"],
  ["system", "System"],
]);
