/** Which actor a token belongs to, by the token's hash and the actor's key. */
export interface TokenIndex {
  get(tokenHash: string): string | undefined;
  /** The tokens of `key` were `before` and are `after`. */
  replace(key: string, before: readonly string[], after: readonly string[]): void;
}

/**
 * Of several actors that claim a token, the one told of last has it, then the one whose key comes first: every process must
 * come to the same answer, whatever the order in which it heard of them.
 */
export function createTokenIndex(updatedAt: (key: string) => number): TokenIndex {
  // One string where one actor claims the token, which is nearly always.
  const claims = new Map<string, string | readonly string[]>();

  function drop(tokenHash: string, key: string): void {
    const claim = claims.get(tokenHash);
    if (claim === key) claims.delete(tokenHash);
    else if (Array.isArray(claim)) {
      const left = claim.filter((each) => each !== key);
      claims.set(tokenHash, left.length === 1 ? (left[0] as string) : left);
    }
  }

  function add(tokenHash: string, key: string): void {
    const claim = claims.get(tokenHash);
    if (claim === undefined) claims.set(tokenHash, key);
    else if (typeof claim !== "string") claims.set(tokenHash, [...claim.filter((each) => each !== key), key]);
    else if (claim !== key) claims.set(tokenHash, [claim, key]);
  }

  return {
    get(tokenHash) {
      const claim = claims.get(tokenHash);
      if (claim === undefined || typeof claim === "string") return claim;
      return claim.reduce((best, key) => {
        const later = updatedAt(key) - updatedAt(best);
        return later > 0 || (later === 0 && key < best) ? key : best;
      });
    },
    replace(key, before, after) {
      // Nearly always the same: then what is there need not be made anew.
      for (const tokenHash of before) if (!after.includes(tokenHash)) drop(tokenHash, key);
      for (const tokenHash of after) if (!before.includes(tokenHash)) add(tokenHash, key);
    },
  };
}
