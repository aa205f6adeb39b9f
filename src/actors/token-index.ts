import { createWideMap } from "../lib/wide-map.js";

/** Whose a token is, by the token's hash. `T` stands for who has tokens. */
export interface TokenIndex<T extends object> {
  get(tokenHash: string): T | undefined;
  /** The tokens of `owner` were `before` and are `after`. */
  replace(owner: T, before: readonly string[], after: readonly string[]): void;
}

/**
 * Where several claim a token, it is `better` that says who has it: every process must come to the same answer, whatever the
 * order in which it heard of them.
 */
export function createTokenIndex<T extends object>(better: (one: T, other: T) => T): TokenIndex<T> {
  const owners = createWideMap<T>();
  /** All who claim a token, where they are several, which is nearly never. */
  const claims = new Map<string, readonly T[]>();

  function setClaims(tokenHash: string, all: readonly T[]): void {
    const [first, ...others] = all;
    if (first === undefined) owners.delete(tokenHash);
    else owners.set(tokenHash, first);
    if (others.length === 0) claims.delete(tokenHash);
    else claims.set(tokenHash, all);
  }

  function claimsOf(tokenHash: string): readonly T[] {
    const owner = owners.get(tokenHash);
    return claims.get(tokenHash) ?? (owner === undefined ? [] : [owner]);
  }

  function drop(tokenHash: string, owner: T): void {
    const left = claimsOf(tokenHash).filter((each) => each !== owner);
    setClaims(tokenHash, left);
  }

  function add(tokenHash: string, owner: T): void {
    if (owners.has(tokenHash)) setClaims(tokenHash, [...claimsOf(tokenHash).filter((each) => each !== owner), owner]);
    else owners.set(tokenHash, owner);
  }

  return {
    get(tokenHash) {
      // What is better may change with what is told of them.
      return claims.size === 0
        ? owners.get(tokenHash)
        : (claims.get(tokenHash)?.reduce(better) ?? owners.get(tokenHash));
    },
    replace(owner, before, after) {
      // Nearly always the same: then what is there need not be made anew.
      for (const tokenHash of before) if (!after.includes(tokenHash)) drop(tokenHash, owner);
      for (const tokenHash of after) if (!before.includes(tokenHash)) add(tokenHash, owner);
    },
  };
}
