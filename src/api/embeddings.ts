import type { ServiceImpl } from "@connectrpc/connect";
import { EmbeddingInputType, type EmbeddingsService } from "../../gen/codygateway/v1/embeddings_pb.js";
import { actorOf } from "../auth/interceptor.js";
import { createTurns } from "../lib/turns.js";
import type { RelayParts } from "../relay.js";
import { type Embedded, relayEmbed } from "../relay-embed.js";
import type { ModelDirectory } from "../relay-models.js";
import { callOf } from "./call.js";
import { chargedLimit } from "./rate-limit.js";

/** Typed embeddings, over the same route as the native ones. */
export function embeddings(parts: {
  relay: RelayParts;
  models: Pick<ModelDirectory, "embeddings">;
}): ServiceImpl<typeof EmbeddingsService> {
  return {
    async embed(req, context) {
      const purpose = req.inputType === EmbeddingInputType.QUERY ? "query" : "document";
      const request = { inputs: req.inputs, dimensions: req.dimensions, purpose } as const;
      const ask = { kind: "embed", model: req.model, request, write: writeFloats } as const;
      const call = callOf("embeddings", context, () => ask);
      const { body, tokens, model, limits, counted } = await relayEmbed(parts.relay, call);
      const dimensions = body.length / bytesPerNumber / req.inputs.length;
      return {
        embeddings: req.inputs.map((_, index) => ({ index, values: readFloats(body, index, dimensions) })),
        model,
        dimensions,
        usage: { inputTokens: tokens, estimated: counted !== undefined },
        ...chargedLimit(limits),
      };
    },

    async listEmbeddingModels(_req, context) {
      return { models: [...(await parts.models.embeddings(actorOf(context.values)))] };
    },
  };
}

const bytesPerNumber = Float32Array.BYTES_PER_ELEMENT;

/** All vectors one after the other, as the numbers that the message has. Throws when one is not there, or not as long as the first. */
async function writeFloats({ vectors }: Embedded): Promise<Buffer> {
  const turns = createTurns();
  const all: Float32Array[] = [];
  for (const json of vectors) {
    const turn = turns.next();
    if (turn) await turn;
    const numbers: unknown = JSON.parse(json?.toString("latin1") ?? "[]");
    if (!isNumbers(numbers)) throw new Error("an input has no vector");
    all.push(Float32Array.from(numbers));
    if (numbers.length !== all[0]?.length) throw new Error("vectors differ in length");
  }
  return Buffer.concat(all.map(({ buffer }) => Buffer.from(buffer)));
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "number");
}

function readFloats(body: Buffer, index: number, dimensions: number): number[] {
  const start = body.byteOffset + index * dimensions * bytesPerNumber;
  return Array.from(new Float32Array(body.buffer.slice(start, start + dimensions * bytesPerNumber)));
}
