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
  const hashed = (all: readonly StaticActor[]) =>
    all.map(({ actor, tokenSha256 }) => ({ actor, tokenHashes: tokenSha256.map(hasher.fromSha256) }));
  const index = (all: ReturnType<typeof hashed>): Map<string, Actor> =>
    new Map(all.flatMap(({ actor, tokenHashes }) => tokenHashes.map((hash) => [hash, actor] as const)));
  let known = hashed(actors);
  let byHash = index(known);
  const find = (token: string | undefined): Actor | undefined =>
    token === undefined || token.length < minTokenLength ? undefined : byHash.get(hasher.hash(token));
  return {
    name: "static",
    kind: "configuration file",
    local: true,
    known: () => known,
    owns: (token) => find(token) !== undefined,
    async lookup(token) {
      const actor = find(token);
      return actor && { actor, tokens: undefined };
    },
    update(next) {
      known = hashed(next);
      byHash = index(known);
    },
  };
}
