// Which models an actor may use: the catalogue's decision, over the names that allow lists and upstreams give.

import { type Actor, type Feature, features } from "./actors/actor.js";
import type { Catalogue } from "./models/catalogue.js";
import type { Upstreams } from "./upstream/upstream.js";

/** One model that an actor may use. */
export interface UsableModel {
  /** Gateway name, `anthropic/claude-…`. */
  readonly name: string;
  /** How its upstream speaks. */
  readonly provider: string;
  readonly features: readonly Feature[];
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
