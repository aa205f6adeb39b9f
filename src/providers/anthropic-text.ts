// Anthropic's text completions, which Sourcegraph instances before 5.4 still call.

import { InvalidRequestError } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import { parseObject } from "./answers.js";
import { dropNegatives, editNested, editString, optionalBoolean, optionalNumber, requiredString } from "./fields.js";
import type { MeterState } from "./meters.js";
import { outputOf } from "./output.js";
import type { Api, Asked, Edits, Meter, Rewrite } from "./provider.js";

/** `POST /v1/complete`, https://platform.claude.com/docs/en/api/completions. It has never reported what it used. */
export const textCompletions: Api = {
  name: "complete",
  paths: [{ path: "/v1/complete" }],
  passHeaders: ["anthropic-version", "anthropic-beta"],
  headers: {
    "anthropic-version": "2023-01-01",
    accept: "application/json",
    "cache-control": "no-cache",
    client: "sourcegraph-cody-gateway/1.0",
  },
  read,
  rewrite,
  prompt: (body) => requiredString(body, "prompt"),
  meter: createTextMeter,
  output: outputOf({ streamed: ["completion"], whole: ["completion"] }),
};

function read(body: JsonObject): Asked {
  requiredString(body, "prompt");
  return {
    model: requiredString(body, "model"),
    stream: optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: optionalNumber(body, "max_tokens_to_sample"),
  };
}

function rewrite(body: JsonObject, { model, endUser, sourcegraph }: Rewrite): Edits {
  const edits: Edits = new Map();
  editString(body, edits, "model", model);
  if (endUser !== undefined) editNested(body, edits, "metadata", "user_id", JSON.stringify(endUser));
  if (!sourcegraph) return edits;
  const asked = optionalNumber(body, "max_tokens_to_sample") ?? 0;
  if (asked > sourcegraph.maxTokens) {
    const told = `max_tokens_to_sample exceeds maximum allowed value of ${sourcegraph.maxTokens}: ${asked}`;
    throw new InvalidRequestError(told, "max_tokens_to_sample");
  }
  dropNegatives(body, edits, ["top_p", "top_k"]);
  return edits;
}

const stopReason = Buffer.from('"stop_reason"');
const errorEvent = Buffer.from('"error"');

/** The last event of a stream is the one that says why it stopped. */
function createTextMeter(): Meter {
  const meter: MeterState = {
    usage: {},
    ended: undefined,
    event(data) {
      if (!data.includes(stopReason) && !data.includes(errorEvent)) return;
      const event = parseObject(data);
      if (event?.type === "error" || event?.error !== undefined) meter.ended = "error";
      else if (typeof event?.stop_reason === "string") meter.ended ??= "complete";
    },
    whole() {
      meter.ended = "complete";
    },
  };
  return meter;
}
