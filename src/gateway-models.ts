// The models of all upstreams: those that write, and those that make embeddings.

import type { Config, UpstreamConfig } from "./config.js";
import { builtInRules } from "./models/built-in.js";
import { type Catalogue, createCatalogue } from "./models/catalogue.js";
import { createEmbeddingsCatalogue } from "./models/embeddings.js";
import type { Provider } from "./providers/provider.js";

/** Where models are served, as its configuration has it. */
export interface ModelTarget extends Pick<UpstreamConfig, "name" | "models" | "embeddings"> {
  readonly provider: Provider;
}

/** One catalogue for completions and one for embeddings: each upstream has a list for either. */
export function createCatalogues(
  config: Pick<Config, "models" | "starcoder">,
  targets: readonly ModelTarget[],
): { readonly catalogue: Catalogue; readonly embeddings: Catalogue } {
  const writing = targets
    .filter(({ provider }) => provider.apis.some(({ feature }) => feature !== "embeddings"))
    .map(({ name, provider, models }) => ({ name, kind: provider.kind, models }));
  const embedding = targets
    .filter(({ provider }) => provider.apis.some(({ feature }) => feature === "embeddings"))
    .map(({ name, provider, embeddings }) => ({ name, kind: provider.kind, embeddingsModels: embeddings.models }));
  return {
    // Rules of the file come later: they take the place of the gateway's own.
    catalogue: createCatalogue(writing, [...builtInRules(writing, config.starcoder), ...config.models]),
    embeddings: createEmbeddingsCatalogue(embedding, config.models),
  };
}
