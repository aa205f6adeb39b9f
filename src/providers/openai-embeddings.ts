// OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings

import { InvalidRequestError } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import { JsonCursor } from "../lib/json-cursor.js";
import { isStringAt, numbersAt, valueAt, walkArray, walkObject } from "../lib/json-walk.js";
import { isObject, tokenCount, usageOf } from "./answers.js";
import {
  createInputMeter,
  type EmbeddingsApi,
  type EmbedRequest,
  jsonArray,
  maxInputs,
  type NativeVector,
  type NativeVectors,
  vectorsJson,
} from "./embeddings.js";
import { editString, member, optionalNumber, requiredString } from "./fields.js";
import type { Api, Asked, Edits, Rewrite } from "./provider.js";
import { UnreadableAnswerError } from "./typed.js";

/**
 * It takes 2,048 inputs of 300,000 tokens together. The answer for so many inputs would be up to 75 MB, and everybody would
 * wait while it is read: a quarter of them goes into one call.
 */
const limits = { inputs: 512, tokens: 300_000 };

/** `namesEndUser`: whether the server is told for whom a request is. */
export function openaiEmbeddings({ namesEndUser }: { readonly namesEndUser: boolean }): Api {
  return {
    name: "embeddings",
    feature: "embeddings",
    paths: [{ path: "/embeddings" }],
    passHeaders: [],
    headers: {},
    read: readRequest,
    rewrite(body: JsonObject, { model, endUser }: Rewrite): Edits {
      const edits: Edits = new Map();
      editString(body, edits, "model", model);
      if (endUser !== undefined && namesEndUser) editString(body, edits, "user", endUser);
      return edits;
    },
    prompt: (body) => textsOf(body).join("\n"),
    meter: () => createInputMeter(readTokens),
    embeddings,
  };
}

const embeddings: EmbeddingsApi = {
  limits,
  encode(request: EmbedRequest, model: string) {
    if (request.inputs.includes(""))
      throw new InvalidRequestError("cannot generate embeddings for an empty string", "input");
    const { inputs: input, dimensions } = request;
    return { model, input, ...(dimensions !== undefined && { dimensions }) };
  },
  inputs: inputsOf,
  texts: textsOf,
  withInputs: (body, inputs) => body.with(new Map([["input", jsonArray(inputs)]])),
  read: readVectors,
  write({ vectors, model }, tokens) {
    const data = vectorsJson(vectors, (index) => {
      return { before: `{"object":"embedding","index":${index},"embedding":`, after: "}" };
    });
    const usage = JSON.stringify({ prompt_tokens: tokens, total_tokens: tokens });
    const named = model === undefined ? "" : `"model":${JSON.stringify(model)},`;
    return Buffer.concat([Buffer.from('{"object":"list","data":'), data, Buffer.from(`,${named}"usage":${usage}}`)]);
  },
};

function readRequest(body: JsonObject): Asked {
  const model = requiredString(body, "model");
  inputsOf(body);
  optionalNumber(body, "dimensions");
  return { model, stream: false, maxOutputTokens: 0 };
}

/** One text, several, one text cut into tokens, or several of those. */
function inputsOf(body: JsonObject): readonly string[] {
  const kind = body.kind("input");
  if (kind === "string") return [body.raw("input") ?? '""'];
  if (kind !== "array") throw new InvalidRequestError("input must be a string or an array", "input");
  const items = body.items("input") ?? [];
  const [first] = items;
  if (first === undefined) throw new InvalidRequestError("input must not be empty", "input");
  if (isNumber(first)) return [body.raw("input") ?? "[]"];
  if (items.length > maxInputs)
    throw new InvalidRequestError(`input must have at most ${maxInputs} elements, not ${items.length}`, "input");
  return items;
}

function isNumber(json: string): boolean {
  return /^[-\d]/.test(json);
}

/** A token stands for a few characters. */
function textsOf(body: JsonObject): readonly string[] {
  const input = member(body, "input");
  return (Array.isArray(input) && typeof input[0] !== "number" ? input : [input]).map((each: unknown) => {
    if (typeof each === "string") return each;
    return Array.isArray(each) ? "token ".repeat(each.length) : "";
  });
}

function readTokens(body: Buffer): unknown {
  const usage = usageOf(body);
  if (!isObject(usage)) return undefined;
  return tokenCount(usage["total_tokens"]) ?? usage["prompt_tokens"];
}

function readVectors(body: Buffer, inputs: number): NativeVectors {
  const cursor = new JsonCursor(body);
  const vectors: (NativeVector | undefined)[] = Array.from({ length: inputs });
  let found = false;
  let model: string | undefined;
  walkObject(cursor, (key) => {
    if (key === "model" && isStringAt(cursor)) model = JSON.parse(valueAt(cursor).toString("utf8")) as string;
    else if (key === "data") {
      found = true;
      walkArray(cursor, (position) => readVector(cursor, position, vectors));
    } else cursor.value();
  });
  if (!found) throw new UnreadableAnswerError("the answer has no data");
  return { vectors, model };
}

/** Puts an element of `data` where its index says, else where it stands. */
function readVector(cursor: JsonCursor, position: number, vectors: (NativeVector | undefined)[]): void {
  let index = position;
  let vector: NativeVector | undefined;
  walkObject(cursor, (key) => {
    if (key === "index") index = Number(valueAt(cursor));
    else if (key !== "embedding") cursor.value();
    else vector = isStringAt(cursor) ? valueAt(cursor) : numbersAt(cursor);
  });
  if (!Number.isInteger(index) || index < 0 || index >= vectors.length)
    throw new UnreadableAnswerError("an embedding has an index that no input has");
  vectors[index] = vector;
}
