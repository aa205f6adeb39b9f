// What an embeddings request asks for and where it goes, from whichever edge.

import type { Actor } from "./actors/actor.js";
import { InvalidRequestError } from "./errors.js";
import { type JsonObject, scanJsonObject } from "./lib/json.js";
import type { EmbeddingsApi, EmbedRequest, NativeVectors } from "./providers/embeddings.js";
import type { Api, Provider } from "./providers/provider.js";
import type { Planner, PlanParts } from "./relay-plan.js";
import type { Batch } from "./upstream/upstream.js";

/** Texts in nobody's format, translated once it is known where they go. */
export interface EmbedAsk {
  readonly kind: "embed";
  /** Gateway name. */
  readonly model: string;
  readonly request: EmbedRequest;
  /** Writes the answer as its caller gets it. What it throws is the upstream's fault. */
  readonly write: (answer: Embedded) => Buffer | Promise<Buffer>;
}

/** The vectors for an `EmbedAsk`. */
export interface Embedded {
  /** One for each input; undefined where the upstream gave none. */
  readonly vectors: NativeVectors["vectors"];
  /** The model as the upstream calls it, else its gateway name. */
  readonly model: string;
}

/** Throws `ModelNotAllowedError` or `InvalidRequestError`. */
export function planEmbed(
  { embeddings, upstreams }: Planner,
  actor: Actor,
  ask: EmbedAsk,
  allowed: readonly string[],
): Omit<PlanParts, "request"> {
  const { route } = embeddings.resolve({ model: ask.model, allowed });
  const provider = upstreams.provider(route.upstream);
  const api = embeddingsApi(provider);
  const encoded = scanJsonObject(Buffer.from(JSON.stringify(api.embeddings.encode(ask.request, route.model))));
  // Not which of the actor's users: what is embedded are files, not what somebody asks.
  const edits = api.rewrite(encoded, { model: route.model, endUser: actor.id, sourcegraph: undefined });
  const body = encoded.with(edits);
  const batch = batchOf(api, scanned(encoded, body), ({ vectors, model = route.name }) =>
    ask.write({ vectors, model }),
  );
  const given = batch.divide?.body;
  return {
    // Vectors of different models cannot be compared: none stands in for another.
    others: [],
    route,
    provider,
    api,
    body,
    batch,
    asked: ask.model,
    stream: false,
    headers: {},
    ...(given && { given }),
    at: undefined,
    unasked: undefined,
  };
}

/** The API that several texts go to. Throws `InvalidRequestError` when there is none. */
function embeddingsApi(provider: Provider): Api & { readonly embeddings: EmbeddingsApi } {
  const api = provider.apis.find(embeds);
  if (!api) throw new InvalidRequestError(`${provider.kind} models make no embeddings`, "model", "CAPABILITY_MISSING");
  return api;
}

function embeds(api: Api): api is Api & { readonly embeddings: EmbeddingsApi } {
  return api.embeddings !== undefined;
}

/** What of a request is divided and counted. `body` is what is sent. */
export function batchOf(api: Api, body: JsonObject, compose: Batch["compose"]): Batch {
  const { embeddings } = api;
  return {
    divide: embeddings && { api: embeddings, body, inputs: embeddings.inputs(body) },
    compose,
    texts: () => embeddings?.texts(body) ?? [api.prompt(body)],
  };
}

/** The changed body, scanned; the same where nothing was changed. */
export function scanned(before: JsonObject, body: Buffer): JsonObject {
  return body === before.bytes ? before : scanJsonObject(body);
}
