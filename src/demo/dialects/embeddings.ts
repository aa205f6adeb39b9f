// Embeddings in the shapes of OpenAI, Google and the KServe protocol. The numbers depend on the text alone.

import { countTokensOf } from "../answer.js";
import { BadRequestError, type Json, type Lookup, list, number, object, string, strings, textOf } from "./dialect.js";

/** In a text: it gets a vector without numbers. */
const hole = "[[hole]]";

/** `POST …/embeddings`, at OpenAI and Fireworks. */
export const openaiEmbeddings: Lookup = {
  kind: "lookup",
  reply(body) {
    const inputs = typeof body.input === "string" ? [body.input] : list(body.input);
    if (inputs.length === 0) throw new BadRequestError("Missing required parameter: 'input'.");
    if (inputs.includes("")) throw new BadRequestError("'$.input' is invalid.");
    if (typeof inputs[0] !== "number" && inputs.length > 2_048)
      throw new BadRequestError("'$.input' is invalid: array too long. Expected at most 2048 elements.");
    // A list of numbers is one input, already cut into tokens.
    const texts =
      typeof inputs[0] === "number" ? [JSON.stringify(inputs)] : inputs.map((input) => JSON.stringify(input));
    const model = string(body.model) ?? "";
    const length = number(body.dimensions) ?? dimensions(model);
    const tokens = countTokensOf(inputs);
    if (tokens > 300_000) throw new BadRequestError(`Requested ${tokens} tokens, max 300000 tokens per request`);
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    const data = texts.map((text, index) => ({
      object: "embedding",
      index,
      embedding: encoded(vector(text, text.includes(hole) ? 0 : length), body.encoding_format),
    }));
    const named = model === "text-embedding-ada-002" ? "text-embedding-ada-002-v2" : model;
    return {
      body: { object: "list", data, model: named, usage },
      model,
      prompt: strings(body.input).join("\n"),
      endUser: string(body.user),
      inputTokens: tokens,
    };
  },
};

/** `:embedContent`. */
export const googleEmbed: Lookup = {
  kind: "lookup",
  reply: (body, model) => ({
    body: { embedding: googleVector(body, model) },
    prompt: textOf(object(body.content).parts),
    ...(model !== undefined && { model }),
  }),
};

/** `:batchEmbedContents`. */
export const googleBatchEmbed: Lookup = {
  kind: "lookup",
  reply(body, model) {
    const requests = list(body.requests).map(object);
    if (requests.length > 100) throw new BadRequestError("at most 100 requests can be in one batch");
    if (requests.some((request) => request.model !== `models/${model}`))
      throw new BadRequestError("the model of each request must be that of the batch");
    return {
      body: { embeddings: requests.map((request) => googleVector(request, model)) },
      prompt: requests.map((request) => textOf(object(request.content).parts)).join("\n"),
      ...(model !== undefined && { model }),
    };
  },
};

/** `POST /v2/models/{model}/infer`: KServe, as Sourcegraph's own embeddings models are served. */
export const kserveEmbeddings: Lookup = {
  kind: "lookup",
  reply(body, model) {
    const texts = strings(object(list(body.inputs)[0]).data);
    const data = texts.flatMap((text) => vector(text, 768));
    const output = { name: "EMBEDDING", datatype: "FP32", shape: [texts.length, 768], data };
    return { body: { id: body.id, model_name: model, outputs: [output] }, prompt: texts.join("\n") };
  },
};

function googleVector(request: Json, model: string | undefined): object {
  const text = textOf(object(request.content).parts);
  return { values: vector(text, number(request.outputDimensionality) ?? dimensions(model ?? "")) };
}

function dimensions(model: string): number {
  if (model.includes("large") || model.includes("gemini")) return 3072;
  return model.includes("nomic") || model.includes("004") ? 768 : 1536;
}

/** A vector of length one that depends on nothing but the text. */
function vector(text: string, length: number): number[] {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193) >>> 0;
  const values = Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 0xffffffff - 0.5;
  });
  const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)) || 1;
  return values.map((value) => Math.round((value / norm) * 1e7) / 1e7);
}

function encoded(values: readonly number[], format: unknown): readonly number[] | string {
  return format === "base64" ? base64(values) : values;
}

function base64(values: readonly number[]): string {
  return Buffer.from(Float32Array.from(values).buffer).toString("base64");
}
