// Which models an actor may use: the catalogue's decision, over the names that allow lists and upstreams give.

import type { Actor, Feature } from "./actors/actor.js";
import type { Catalogue, ListedModel } from "./models/catalogue.js";
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

export interface ModelDirectory {
  /** The models that `actor` may use for any of `asked`, and the patterns that admit names nobody lists. */
  list(
    actor: Actor,
    asked: readonly Feature[],
  ): Promise<{ readonly models: readonly UsableModel[]; readonly patterns: readonly string[] }>;
  /** The upstream's own names of the models that `actor` may use there. */
  native(actor: Actor, upstream: string): Promise<readonly string[]>;
}

/** Asks `upstreamNames` what they have, where an actor's list leaves that open. */
export function createModelDirectory(parts: {
  catalogue: Catalogue;
  upstreams: Pick<Upstreams, "listModels" | "provider">;
  upstreamNames: readonly string[];
}): ModelDirectory {
  const discover = async (names: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> =>
    new Map(await Promise.all(names.map(async (name) => [name, await parts.upstreams.listModels(name)] as const)));
  const kindOf = (upstream: string): string => parts.upstreams.provider(upstream).kind;
  const factsFor = ({ leadsTo }: ListedModel): ModelFacts =>
    commonFacts(leadsTo.map(({ upstream, model }) => factsOf(kindOf(upstream), model)));

  return {
    async list(actor, asked) {
      const found = await discover(parts.upstreamNames);
      const models = new Map<string, { provider: string; features: Feature[]; facts: ModelFacts }>();
      const patterns = new Set<string>();
      for (const feature of asked) {
        const allowed = actor.features[feature]?.models ?? [];
        for (const listed of parts.catalogue.list(allowed, found)) {
          const provider = listed.upstream === undefined ? "" : kindOf(listed.upstream);
          const model = models.get(listed.name) ?? { provider, features: [], facts: factsFor(listed) };
          model.features.push(feature);
          models.set(listed.name, model);
        }
        for (const pattern of parts.catalogue.patterns(allowed)) patterns.add(pattern);
      }
      return { models: [...models].map(([name, model]) => ({ name, ...model })), patterns: [...patterns] };
    },

    async native(actor, upstream) {
      const found = await discover([upstream]);
      const names = new Set<string>();
      for (const access of Object.values(actor.features)) {
        for (const listed of parts.catalogue.list(access.models, found)) {
          if (listed.upstream === upstream) names.add(listed.model);
        }
      }
      return [...names];
    },
  };
}
