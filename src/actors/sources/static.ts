import type { Actor } from "../actor.js";
import type { Source } from "../source.js";
import { minTokenLength, type TokenHasher } from "../token.js";

/** An actor of the configuration file with its tokens, each as the hex SHA-256 of the whole token. */
export interface StaticActor {
  readonly actor: Actor;
  readonly tokenSha256: readonly string[];
}

/** The source `static`. */
export interface StaticSource extends Source {
  /** Puts other actors in place of all there are, from one request to the next. */
  update(actors: readonly StaticActor[]): void;
}

/**
 * Actors of the configuration file. Their tokens have no form of their own, so it owns exactly the tokens that it knows:
 * ask it first, and what it does not know is left to the others.
 */
export function createStaticSource(parts: { hasher: TokenHasher }, actors: readonly StaticActor[]): StaticSource {
  const { hasher } = parts;
  const index = (all: readonly StaticActor[]): Map<string, Actor> =>
    new Map(
      all.flatMap(({ actor, tokenSha256 }) => tokenSha256.map((hex) => [hasher.fromSha256(hex), actor] as const)),
    );
  let byHash = index(actors);
  const find = (token: string | undefined): Actor | undefined =>
    token === undefined || token.length < minTokenLength ? undefined : byHash.get(hasher.hash(token));
  return {
    name: "static",
    kind: "configuration file",
    local: true,
    owns: (token) => find(token) !== undefined,
    async lookup(token) {
      const actor = find(token);
      return actor && { actor, tokens: undefined };
    },
    update(next) {
      byHash = index(next);
    },
  };
}
