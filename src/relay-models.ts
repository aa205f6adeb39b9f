// Which models an actor may use: the catalogues' decision, over the names that allow lists and upstreams give.

import { type Actor, type Feature, features } from "./actors/actor.js";
import type { Catalogue, ListedModel } from "./models/catalogue.js";
import { type EmbeddingFacts, embeddingFacts, knownEmbeddings } from "./models/embeddings.js";
import { commonFacts, factsOf, type ModelFacts } from "./models/facts.js";
import type { Upstreams } from "./upstream/upstream.js";

/** One model that an actor may use. */
export interface UsableModel {
  /** Gateway name, `anthropic/claude-…`. */
  readonly name: string;
  /** How its upstream speaks; empty for a virtual model of several upstreams. */
  readonly provider: string;
  readonly features: readonly Feature[];
  readonly facts: ModelFacts;
}

/** A model that makes embeddings, and whether an actor may use it. */
export interface EmbeddingModel extends EmbeddingFacts {
  /** Gateway name. */
  readonly name: string;
  readonly enabled: boolean;
}

export interface ModelDirectory {
  /** The models that `actor` may use for any of `asked`, and the patterns that admit names nobody lists. */
  list(
    actor: Actor,
    asked: readonly Feature[],
  ): Promise<{ readonly models: readonly UsableModel[]; readonly patterns: readonly string[] }>;
  /** The upstream's own names of the models that `actor` may use there. */
  native(actor: Actor, upstream: string): Promise<readonly string[]>;
  /** All models that make embeddings, in the order of their names. */
  embeddings(actor: Actor): Promise<readonly EmbeddingModel[]>;
}

/** Asks `upstreamNames` what they have, where an actor's list leaves that open. */
export function createModelDirectory(parts: {
  catalogue: Catalogue;
  embeddings: Catalogue;
  upstreams: Pick<Upstreams, "listModels" | "provider">;
  upstreamNames: readonly string[];
}): ModelDirectory {
  const discover = async (names: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> =>
    new Map(await Promise.all(names.map(async (name) => [name, await parts.upstreams.listModels(name)] as const)));
  const kindOf = (upstream: string): string => parts.upstreams.provider(upstream).kind;
  const factsFor = ({ leadsTo }: ListedModel): ModelFacts =>
    commonFacts(leadsTo.map(({ upstream, model }) => factsOf(kindOf(upstream), model)));
  const catalogueOf = (feature: Feature): Catalogue => (feature === "embeddings" ? parts.embeddings : parts.catalogue);

  return {
    async list(actor, asked) {
      const found = await discover(parts.upstreamNames);
      const models = new Map<string, { provider: string; features: Feature[]; facts: ModelFacts }>();
      const patterns = new Set<string>();
      for (const feature of asked) {
        const allowed = actor.features[feature]?.models ?? [];
        for (const listed of catalogueOf(feature).list(allowed, found)) {
          const provider = listed.upstream === undefined ? "" : kindOf(listed.upstream);
          const model = models.get(listed.name) ?? { provider, features: [], facts: factsFor(listed) };
          model.features.push(feature);
          models.set(listed.name, model);
        }
        for (const pattern of catalogueOf(feature).patterns(allowed)) patterns.add(pattern);
      }
      return { models: [...models].map(([name, model]) => ({ name, ...model })), patterns: [...patterns] };
    },

    async native(actor, upstream) {
      const found = await discover([upstream]);
      const names = new Set<string>();
      for (const feature of features) {
        for (const listed of catalogueOf(feature).list(actor.features[feature]?.models ?? [], found)) {
          if (listed.upstream === upstream) names.add(listed.model);
        }
      }
      return [...names];
    },

    async embeddings(actor) {
      const told = await discover(parts.upstreamNames);
      const found = new Map([...told].map(([name, models]) => [name, [...models, ...knownEmbeddings(kindOf(name))]]));
      const own = new Set(
        parts.embeddings.list(actor.features.embeddings?.models ?? [], found).map(({ name }) => name),
      );
      return parts.embeddings.list(["*"], found).map(({ name, leadsTo: [first] }) => ({
        name,
        enabled: actor.accessEnabled && own.has(name),
        ...(first && embeddingFacts(kindOf(first.upstream), first.model)),
      }));
    },
  };
}
