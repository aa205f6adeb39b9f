// OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses

import { InvalidRequestError } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import { editString, member, optionalBoolean, optionalNumber, requiredString } from "./fields.js";
import { decodeResponse } from "./openai-responses-decode.js";
import { encodeResponses, needsResponses } from "./openai-responses-encode.js";
import { createResponseDecoder } from "./openai-responses-stream.js";
import { createResponsesMeter } from "./openai-responses-usage.js";
import { outputOf } from "./output.js";
import type { Api, Asked, Edits, Rewrite } from "./provider.js";
import { textsOf, toolsOf } from "./texts.js";

/** `POST /responses`. Its streams tell their usage with their last event, unasked. */
export const responses: Api = {
  name: "responses",
  paths: [{ path: "/responses" }],
  passHeaders: [],
  headers: {},
  read,
  rewrite,
  prompt,
  meter: createResponsesMeter,
  output: outputOf({ streamed: ["delta"], whole: ["text", "arguments", "refusal"] }),
  typed: {
    takes: needsResponses,
    encode: encodeResponses,
    decode: decodeResponse,
    decoder: createResponseDecoder,
  },
};

function read(body: JsonObject): Asked {
  const model = requiredString(body, "model");
  if (optionalBoolean(body, "background"))
    throw new InvalidRequestError("background must be false: answers are not kept to be fetched later", "background");
  return {
    model,
    stream: optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: optionalNumber(body, "max_output_tokens"),
  };
}

function rewrite(body: JsonObject, { model, endUser }: Rewrite): Edits {
  const edits: Edits = new Map();
  editString(body, edits, "model", model);
  if (endUser !== undefined) editString(body, edits, "user", endUser);
  return edits;
}

/** Instructions, what fills a template, and input, a line for each text, and the tools: they count as prompt. */
function prompt(body: JsonObject): string {
  const parts = ["instructions", "prompt", "input"].flatMap((key) => textsOf(member(body, key)));
  return [...parts, ...toolsOf(body)].join("\n");
}
