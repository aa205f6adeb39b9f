// The body of a chat completions request: what it asks for.

import type { JsonObject } from "../lib/json.js";
import { member, optionalBoolean, optionalNumber, requireArray, requiredString } from "./fields.js";
import { choicesOf, languageOf } from "./openai-body.js";
import type { Asked } from "./provider.js";
import { textsOf, toolsOf } from "./texts.js";

export function readChat(body: JsonObject): Asked {
  const model = requiredString(body, "model");
  requireArray(body, "messages", "messages must be an array");
  const perChoice = optionalNumber(body, "max_completion_tokens") ?? optionalNumber(body, "max_tokens");
  const choices = choicesOf(body);
  return {
    model,
    stream: optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: perChoice === undefined ? undefined : perChoice * choices,
    languageId: languageOf(body),
  };
}

/** All texts of the conversation, a line each, and what it is predicted to say. Tools stand at the end: they count as prompt. */
export function promptOfChat(body: JsonObject): string {
  const words = textsOf(member(body, "messages")).concat(textsOf(member(body, "prediction")));
  return words.concat(toolsOf(body), toolsOf(body, "functions")).join("\n");
}
