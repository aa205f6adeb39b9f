// Sourcegraph's own embeddings server, and others that speak the Open Inference Protocol:
// https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

import { randomUUID } from "node:crypto";
import { InvalidRequestError } from "../errors.js";
import { type JsonObject, scanJsonObject } from "../lib/json.js";
import { JsonCursor } from "../lib/json-cursor.js";
import { cutNumbers, numbersAt, valueAt, walkArray, walkObject } from "../lib/json-walk.js";
import { isObject } from "./answers.js";
import { type EmbeddingsApi, jsonArray, maxInputs, type NativeVectors } from "./embeddings.js";
import { member } from "./fields.js";
import { createFreeMeter } from "./meters.js";
import { openaiErrorBody, openaiStreamError, readOpenaiError } from "./openai-errors.js";
import type { Api, Provider } from "./provider.js";
import { UnreadableAnswerError } from "./typed.js";

const embeddings: EmbeddingsApi = {
  limits: { inputs: 512 },
  encode({ inputs, dimensions }) {
    if (dimensions !== undefined)
      throw new InvalidRequestError("the model's vectors have one length only", "dimensions", "CAPABILITY_MISSING");
    return request(inputs.map((text) => JSON.stringify(text)));
  },
  inputs(body) {
    const [tensor] = body.items("inputs") ?? [];
    const texts = tensor === undefined ? undefined : scanJsonObject(Buffer.from(tensor)).items("data");
    if (!texts || texts.length === 0) throw new InvalidRequestError("input must not be empty", "input");
    if (texts.length > maxInputs)
      throw new InvalidRequestError(`input must have at most ${maxInputs} elements, not ${texts.length}`, "input");
    return texts;
  },
  texts: textsOf,
  withInputs: (_body, inputs) => Buffer.from(JSON.stringify(request(inputs))),
  read: readVectors,
  write: () => {
    throw new Error("nobody is answered in this form");
  },
};

/** `texts` are JSON texts. */
function request(texts: readonly string[]): Record<string, unknown> {
  const data = JSON.parse(jsonArray(texts)) as unknown;
  return { id: randomUUID(), inputs: [{ name: "TEXT", shape: [texts.length], datatype: "BYTES", data }] };
}

/** One tensor holds the vectors of all inputs, one after the other; the first is looked at. */
function readVectors(body: Buffer, inputs: number): NativeVectors {
  const cursor = new JsonCursor(body);
  let data: Buffer | undefined;
  let shape: unknown;
  walkObject(cursor, (key) => {
    if (key !== "outputs") return cursor.value();
    walkArray(cursor, (index) => {
      walkObject(cursor, (name) => {
        if (index === 0 && name === "data") data = numbersAt(cursor);
        else if (index === 0 && name === "shape") shape = JSON.parse(valueAt(cursor).toString("utf8"));
        else cursor.value();
      });
    });
  });
  if (Array.isArray(shape) && shape[0] !== inputs)
    throw new UnreadableAnswerError("the tensor is not of as many vectors as there were inputs");
  const vectors = data && cutNumbers(data, inputs);
  if (!vectors) throw new UnreadableAnswerError("the answer has no tensor that can be cut into vectors");
  return { vectors, model: undefined };
}

function textsOf(body: JsonObject): readonly string[] {
  const inputs = member(body, "inputs");
  const tensor: unknown = Array.isArray(inputs) ? inputs[0] : undefined;
  const texts = isObject(tensor) ? tensor["data"] : undefined;
  return Array.isArray(texts) ? texts.filter((text) => typeof text === "string") : [];
}

/** The base URL is that of one model's inference: nothing is added to it. */
const infer: Api = {
  name: "infer",
  feature: "embeddings",
  inner: true,
  paths: [{ path: "" }],
  passHeaders: [],
  headers: {},
  read: () => ({ model: undefined, stream: false, maxOutputTokens: 0 }),
  rewrite: () => new Map(),
  prompt: (body) => textsOf(body).join("\n"),
  // It does not say how many tokens it read.
  meter: createFreeMeter,
  embeddings,
};

/** A server of embeddings models that speaks KServe's protocol, version 2. */
export const kserve: Provider = {
  kind: "kserve-embeddings",
  defaultBaseUrl: undefined,
  sdkPrefix: "",
  retryAfterSeconds: 60,
  apis: [infer],
  authHeaders: (key) => (key === undefined ? {} : { "sourcegraph-smega-inference-auth": key }),
  errorBody: openaiErrorBody,
  streamError: openaiStreamError,
  readError: readOpenaiError,
  modelList: undefined,
};
