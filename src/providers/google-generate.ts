// The body of a Gemini request: what it asks for and what the gateway changes in it. The model is in the path; on the routes
// of Sourcegraph instances it stands in the body, with `stream` beside it.

import { InvalidRequestError } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import { isObject, type Json } from "./answers.js";
import { dropNegatives, editInside, editString, member, optionalBoolean } from "./fields.js";
import type { Asked, Called, Edits, Rewrite } from "./provider.js";
import { textsOf, toolsOf } from "./texts.js";

export function readGenerate(body: JsonObject, called: Called = {}): Asked {
  requireContents(body);
  return {
    model: modelOf(body, called),
    stream: called.stream ?? optionalBoolean(body, "stream") ?? false,
    maxOutputTokens: maxOutputTokens(body),
  };
}

/** A count is asked for with the contents alone, or with a whole request. */
export function readCount(body: JsonObject, called: Called = {}): Asked {
  const request = member(body, "generateContentRequest") ?? member(body, "generate_content_request");
  if (request === undefined) requireContents(body);
  else if (!isObject(request))
    throw new InvalidRequestError("generateContentRequest must be an object", "generateContentRequest");
  else checkModel(request.model, called.model, "generateContentRequest.model");
  return { model: modelOf(body, called), stream: false, maxOutputTokens: undefined };
}

/** The API reads one content as well as several. */
function requireContents(body: JsonObject): void {
  const kind = body.kind("contents");
  if (kind === undefined || kind === "null") throw new InvalidRequestError("contents is required", "contents");
  if (kind !== "array" && kind !== "object") throw new InvalidRequestError("contents must be an array", "contents");
}

/** The model that a request is for, by its path or its body. */
export function modelOf(body: JsonObject, called: Called): string | undefined {
  const given = member(body, "model");
  if (called.model !== undefined) checkModel(given, called.model, "model");
  else if (given !== undefined && (typeof given !== "string" || given === ""))
    throw new InvalidRequestError("model must be a string", "model");
  return called.model ?? (given as string | undefined);
}

/** Two names in one request would leave open which one is checked and which one answers. */
export function checkModel(given: unknown, called: string | undefined, field: string): void {
  if (given === undefined || given === null) return;
  if (typeof given !== "string" || (called !== undefined && given !== called && given !== `${prefix}${called}`))
    throw new InvalidRequestError(`${field} must be the model of the path`, field);
}

const prefix = "models/";

function maxOutputTokens(body: JsonObject): number | undefined {
  const config = configOf(body);
  // The API takes numbers in quotes, too.
  const limit = Number(config.maxOutputTokens ?? config.max_output_tokens ?? Number.NaN);
  const candidates = Number(config.candidateCount ?? config.candidate_count ?? 1);
  return limit > 0 && Number.isFinite(limit) ? limit * Math.max(1, candidates || 1) : undefined;
}

function configOf(body: JsonObject): Json {
  for (const name of ["generationConfig", "generation_config"]) {
    const config = member(body, name);
    if (isObject(config)) return config;
    if (config !== undefined) throw new InvalidRequestError(`${name} must be an object`, name);
  }
  return {};
}

export function rewriteGenerate(body: JsonObject, { model, sourcegraph }: Rewrite): Edits {
  const edits = renamed(body, model);
  if (!sourcegraph) return edits;
  // Google knows no such field, and refuses what it does not know.
  if (body.has("stream")) edits.set("stream", undefined);
  if (body.kind("systemInstruction") === "string") {
    const text = member(body, "systemInstruction");
    edits.set("systemInstruction", text === "" ? undefined : JSON.stringify({ parts: [{ text }] }));
  }
  editInside(body, edits, "generationConfig", (config) => {
    const inner: Edits = new Map();
    dropNegatives(config, inner, ["topP", "topK", "temperature", "maxOutputTokens"]);
    return inner;
  });
  return edits;
}

export function rewriteCount(body: JsonObject, { model }: Rewrite): Edits {
  const edits = renamed(body, model);
  for (const name of ["generateContentRequest", "generate_content_request"])
    editInside(body, edits, name, (request) => renamed(request, model));
  return edits;
}

/** Wherever the body names the model, it names the one that answers. */
export function renamed(body: JsonObject, model: string): Edits {
  const edits: Edits = new Map();
  const given = member(body, "model");
  if (typeof given === "string") editString(body, edits, "model", given.startsWith(prefix) ? prefix + model : model);
  return edits;
}

/** System instruction and contents, a line for each text, and the tools: they count as prompt. */
export function promptOfGenerate(body: JsonObject): string {
  const counted = member(body, "generateContentRequest") ?? member(body, "generate_content_request");
  const inner = isObject(counted) ? counted : {};
  const parts = ["systemInstruction", "system_instruction", "contents"].flatMap((key) => [
    ...textsOf(inner[key]),
    ...textsOf(member(body, key)),
  ]);
  return [...parts, ...(inner.tools === undefined ? [] : [JSON.stringify(inner.tools)]), ...toolsOf(body)].join("\n");
}
