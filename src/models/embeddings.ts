// The models that make embeddings: which ones upstreams serve when their configuration does not say, and what is known of them.
// https://platform.openai.com/docs/models, https://ai.google.dev/gemini-api/docs/embeddings, https://fireworks.ai/models

import { compileGlobs } from "../lib/glob.js";
import { type Catalogue, createCatalogue, type ModelRule, type UpstreamModels } from "./catalogue.js";
import { foldName, isPattern } from "./names.js";
import { serve } from "./served.js";

/** What is known of a model. */
export interface EmbeddingFacts {
  /** Numbers in its vectors unless a request says otherwise. */
  readonly dimensions?: number;
  /** True: it will cease to be served. */
  readonly deprecated?: boolean;
}

/** By kind of upstream; a name can be a pattern, and the first that fits holds. */
const known: ReadonlyMap<string, readonly (EmbeddingFacts & { readonly names: readonly string[] })[]> = new Map([
  [
    "openai",
    [
      { names: ["text-embedding-ada-002", "text-embedding-3-small"], dimensions: 1536 },
      { names: ["text-embedding-3-large"], dimensions: 3072 },
    ],
  ],
  [
    "google",
    [
      { names: ["gemini-embedding-001"], dimensions: 3072 },
      { names: ["text-embedding-004", "embedding-001"], dimensions: 768, deprecated: true },
    ],
  ],
  ["fireworks", [{ names: ["nomic-ai/nomic-embed-text-*"], dimensions: 768 }]],
  ["kserve-embeddings", [{ names: ["st-multi-qa-mpnet-base-dot-v1"], dimensions: 768 }]],
]);

/** Exact names and patterns of what is served by default, by kind of upstream. */
const defaults: ReadonlyMap<string, readonly string[]> = new Map([
  ["openai", ["text-embedding-ada-002", "text-embedding-3-small", "text-embedding-3-large", "text-embedding-*"]],
  ["google", ["gemini-embedding-001", "gemini-embedding-*", "text-embedding-*", "embedding-*"]],
  ["fireworks", ["nomic-ai/nomic-embed-text-v1.5", "nomic-ai/*", "*embedding*"]],
  ["kserve-embeddings", ["st-multi-qa-mpnet-base-dot-v1"]],
]);

const facts = new Map(
  [...known].map(([kind, models]) => [
    kind,
    models.map(({ names, ...rest }) => ({ matches: compileGlobs(names), facts: rest })),
  ]),
);

/** What is known of an upstream's model; `kind` is how the upstream speaks. */
export function embeddingFacts(kind: string, model: string): EmbeddingFacts {
  return facts.get(kind)?.find(({ matches }) => matches(model))?.facts ?? {};
}

/** Names of models for embeddings that such an upstream has, as far as they are known: not every upstream lists them. */
export function knownEmbeddings(kind: string): readonly string[] {
  return (defaults.get(kind) ?? []).filter((name) => !isPattern(name));
}

/** An upstream that makes embeddings. */
export interface EmbeddingUpstream extends Pick<UpstreamModels, "name" | "kind"> {
  /** Its list of models for embeddings; undefined: the defaults of its kind. */
  readonly embeddingsModels: readonly string[] | undefined;
}

/**
 * The catalogue of models for embeddings. A rule for a name that stands for others is one of it when all of them make
 * embeddings.
 */
export function createEmbeddingsCatalogue(
  upstreams: readonly EmbeddingUpstream[],
  rules: readonly ModelRule[],
): Catalogue {
  const listed = upstreams.map(({ name, kind, embeddingsModels }): UpstreamModels => {
    return { name, kind, models: embeddingsModels ?? defaults.get(kind) ?? [] };
  });
  const served = new Map(listed.map((upstream) => [foldName(upstream.name), serve(upstream, new Map())]));
  const embeds = ({ model }: { readonly model: string }): boolean => {
    const slash = model.indexOf("/");
    return served.get(foldName(model.slice(0, slash)))?.serves(model.slice(slash + 1)) ?? false;
  };
  return createCatalogue(
    listed,
    rules.filter(({ routes }) => routes.every(embeds)),
  );
}
