// The body of a completions request: a prompt to continue, where chat completions have messages.

import { InvalidRequestError } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import { member, optionalBoolean, optionalNumber, requiredString } from "./fields.js";
import { choicesOf, languageOf } from "./openai-body.js";
import type { Asked } from "./provider.js";
import { textsOf } from "./texts.js";

export function readPrompt(body: JsonObject): Asked {
  const model = requiredString(body, "model");
  const prompts = promptsOf(body).length;
  const perAnswer = optionalNumber(body, "max_tokens");
  const answers = Math.max(choicesOf(body), optionalNumber(body, "best_of") ?? 1) * Math.max(1, prompts);
  return {
    model,
    stream: optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: perAnswer === undefined ? undefined : perAnswer * answers,
    languageId: languageOf(body),
  };
}

/** Prompts are texts or tokens, one or several. */
function promptsOf(body: JsonObject): readonly unknown[] {
  const prompt = member(body, "prompt");
  if (typeof prompt === "string") return [prompt];
  if (!Array.isArray(prompt)) throw new InvalidRequestError("prompt must be a string or an array", "prompt");
  return typeof prompt[0] === "number" ? [prompt] : prompt;
}

/** Whether a prompt is given in tokens. */
export function hasTokens(body: JsonObject): boolean {
  return promptsOf(body).some((prompt) => typeof prompt !== "string");
}

/** The prompts, what follows the gap and what is predicted, a line each. A token stands for a few characters. */
export function textOfPrompt(body: JsonObject): string {
  const further = ["suffix", "prediction"].flatMap((key) => textsOf(member(body, key)));
  const texts = promptsOf(body).map((prompt) => {
    if (typeof prompt === "string") return prompt;
    return Array.isArray(prompt) ? "token ".repeat(prompt.length) : "";
  });
  return [...texts, ...further].join("\n");
}
