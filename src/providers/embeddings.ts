// Embeddings in native bodies: texts that go in, vectors that come out. Vectors stay the JSON text that the upstream wrote, so
// that no digit of them is lost.

import type { JsonObject } from "../lib/json.js";
import { tokenCount } from "./answers.js";
import { createFreeMeter, type MeterState, reported } from "./meters.js";
import type { Meter } from "./provider.js";

/** Texts to embed, in nobody's format. */
export interface EmbedRequest {
  readonly inputs: readonly string[];
  /** Numbers that each vector is to have; undefined: the model's own number. */
  readonly dimensions: number | undefined;
  /** For models that tell queries from what is searched. */
  readonly purpose: "query" | "document";
}

/** How much an upstream takes in one call. */
export interface CallLimits {
  readonly inputs: number;
  /** Of all inputs together; undefined: as many as one likes. */
  readonly tokens?: number | undefined;
}

/** One vector as JSON: an array of numbers, or a string where the caller asked for base64. Undefined: the answer has none for an input. */
export type NativeVector = Buffer;

/** The vectors of one answer, in the order of its inputs. */
export interface NativeVectors {
  readonly vectors: readonly (NativeVector | undefined)[];
  /** The model as the upstream calls it; undefined: it does not say. */
  readonly model: string | undefined;
}

/** An API that embeds several texts in one call. Pure. */
export interface EmbeddingsApi {
  /** What the vendor takes, or less where an answer would grow larger than the gateway holds. */
  readonly limits: CallLimits;
  /** The native body, ready for `JSON.stringify`. Throws `InvalidRequestError` for what the API cannot do. */
  encode(request: EmbedRequest, model: string): Record<string, unknown>;
  /** The inputs of a native body, each as JSON text; at least one. Throws `InvalidRequestError`. */
  inputs(body: JsonObject): readonly string[];
  /** What tokens are counted of: the texts of a native body. */
  texts(body: JsonObject): readonly string[];
  /** The same body with these inputs. */
  withInputs(body: JsonObject, inputs: readonly string[]): Buffer;
  /** Finds the vectors of an answer to so many inputs. Throws when it is no such answer. */
  read(body: Buffer, inputs: number): NativeVectors;
  /** An answer with these vectors. `tokens` is what all of it used. */
  write(answer: NativeVectors, tokens: number): Buffer;
}

/** Most texts in one request, over all calls that it takes. */
export const maxInputs = 10_000;

/** Reads the one count that embeddings have: of what was put in. Nothing comes out. */
export function createInputMeter(read: (body: Buffer) => unknown): Meter {
  const meter: MeterState = {
    ...createFreeMeter(),
    whole(body) {
      const inputTokens = tokenCount(read(body));
      meter.usage = reported({ inputTokens, outputTokens: inputTokens === undefined ? undefined : 0 });
      meter.ended = "complete";
    },
  };
  return meter;
}

/** An array whose elements are `before`, the vector and `after` each; `[]` where there is no vector. */
export function vectorsJson(
  vectors: NativeVectors["vectors"],
  around: (index: number) => { readonly before: string; readonly after: string },
): Buffer {
  const pieces = vectors.flatMap((vector = emptyVector, index) => {
    const { before, after } = around(index);
    return [Buffer.from(index === 0 ? before : `,${before}`), vector, Buffer.from(after)];
  });
  return Buffer.concat([Buffer.from("["), ...pieces, Buffer.from("]")]);
}

const emptyVector = Buffer.from("[]");

/** Puts JSON texts into an array. */
export function jsonArray(elements: readonly string[]): string {
  return `[${elements.join(",")}]`;
}
