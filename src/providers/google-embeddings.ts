// Google's embeddings, one at a time and several: https://ai.google.dev/api/embeddings

import { InvalidRequestError } from "../errors.js";
import { type JsonObject, JsonSyntaxError, scanJsonObject } from "../lib/json.js";
import { JsonCursor } from "../lib/json-cursor.js";
import { numbersAt, walkArray, walkObject } from "../lib/json-walk.js";
import { isObject, memberReader } from "./answers.js";
import {
  createInputMeter,
  type EmbeddingsApi,
  jsonArray,
  maxInputs,
  type NativeVector,
  type NativeVectors,
  vectorsJson,
} from "./embeddings.js";
import { member } from "./fields.js";
import { checkModel, modelOf, renamed } from "./google-generate.js";
import type { Api, ApiPath, Asked, Called, Edits, Rewrite } from "./provider.js";
import { textsOf } from "./texts.js";
import { UnreadableAnswerError } from "./typed.js";

type Paths = Api["paths"];

const common = {
  feature: "embeddings",
  passHeaders: [],
  headers: {},
  meter: () => createInputMeter(tokensOf),
} satisfies Partial<Api>;

const usageOf = memberReader("usageMetadata");

function tokensOf(body: Buffer): unknown {
  const usage = usageOf(body);
  return isObject(usage) ? (usage["promptTokenCount"] ?? usage["totalTokenCount"]) : undefined;
}

/** One content. */
export function embedContent(paths: Paths): Api {
  return {
    ...common,
    name: "embed_content",
    paths,
    read(body, called = {}) {
      if (body.kind("content") !== "object") throw new InvalidRequestError("content must be an object", "content");
      return asked(modelOf(body, called));
    },
    rewrite: (body, { model }) => renamed(body, model),
    prompt: (body) => textsOf(member(body, "content")).join("\n"),
  };
}

/** Several contents. */
export function batchEmbedContents(paths: readonly [ApiPath, ...ApiPath[]]): Api {
  return {
    ...common,
    name: "batch_embed_contents",
    paths,
    read: readBatch,
    rewrite: rewriteBatch,
    prompt: (body) => textsOfBatch(body).join("\n"),
    embeddings,
  };
}

const embeddings: EmbeddingsApi = {
  limits: { inputs: 100 },
  encode({ inputs, dimensions, purpose }, model) {
    const requests = inputs.map((text) => ({
      model: `models/${model}`,
      content: { parts: [{ text }] },
      taskType: purpose === "query" ? "RETRIEVAL_QUERY" : "RETRIEVAL_DOCUMENT",
      ...(dimensions !== undefined && { outputDimensionality: dimensions }),
    }));
    return { requests };
  },
  inputs: requestsOf,
  texts: textsOfBatch,
  withInputs: (body, inputs) => body.with(new Map([["requests", jsonArray(inputs)]])),
  read: readVectors,
  write({ vectors }, tokens) {
    const all = vectorsJson(vectors, () => ({ before: '{"values":', after: "}" }));
    const usage = JSON.stringify({ promptTokenCount: tokens });
    return Buffer.concat([Buffer.from('{"embeddings":'), all, Buffer.from(`,"usageMetadata":${usage}}`)]);
  },
};

function readVectors(body: Buffer, inputs: number): NativeVectors {
  const cursor = new JsonCursor(body);
  const vectors: (NativeVector | undefined)[] = [];
  walkObject(cursor, (key) => {
    if (key !== "embeddings") return cursor.value();
    walkArray(cursor, (index) => {
      vectors[index] = undefined;
      walkObject(cursor, (name) => {
        if (name === "values") vectors[index] = numbersAt(cursor);
        else cursor.value();
      });
    });
  });
  if (vectors.length !== inputs) throw new UnreadableAnswerError("the answer has not one embedding for each request");
  return { vectors, model: undefined };
}

function asked(model: string | undefined): Asked {
  return { model, stream: false, maxOutputTokens: 0 };
}

function readBatch(body: JsonObject, called: Called = {}): Asked {
  requestsOf(body).forEach((request, index) => {
    const field = `requests[${index}]`;
    const entry = scanRequest(request, field);
    if (entry.kind("content") !== "object")
      throw new InvalidRequestError(`${field}.content must be an object`, `${field}.content`);
    checkModel(member(entry, "model"), called.model, `${field}.model`);
  });
  return asked(modelOf(body, called));
}

/** Each request names the model that answers, and no other. */
function rewriteBatch(body: JsonObject, { model }: Rewrite): Edits {
  const edits = renamed(body, model);
  const requests = body.items("requests") ?? [];
  const rewritten = requests.map((request, index) => {
    const entry = scanRequest(request, `requests[${index}]`);
    const changes = renamed(entry, model);
    return changes.size === 0 ? request : entry.with(changes).toString("utf8");
  });
  if (rewritten.some((request, index) => request !== requests[index])) edits.set("requests", jsonArray(rewritten));
  return edits;
}

function requestsOf(body: JsonObject): readonly string[] {
  const requests = body.items("requests");
  if (!requests || requests.length === 0)
    throw new InvalidRequestError("requests must be an array with something in it", "requests");
  if (requests.length > maxInputs)
    throw new InvalidRequestError(`requests must be at most ${maxInputs}, not ${requests.length}`, "requests");
  return requests;
}

function textsOfBatch(body: JsonObject): readonly string[] {
  return requestsOf(body).flatMap(textsOfRequest);
}

function textsOfRequest(request: string): string[] {
  const entry: unknown = JSON.parse(request);
  return isObject(entry) ? textsOf(entry["content"]) : [];
}

function scanRequest(json: string, field: string): JsonObject {
  try {
    return scanJsonObject(Buffer.from(json));
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new InvalidRequestError(`${field} must be an object`, field);
  }
}
