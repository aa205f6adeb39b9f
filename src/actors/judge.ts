// What can be said of a token at once, from what is known.

import type { Directory, Known } from "./directory.js";
import type { Freshness, FreshnessRules } from "./freshness.js";
import type { Source } from "./source.js";
import type { OwnedToken } from "./source-calls.js";
import { normaliseToken, type TokenHasher } from "./token.js";

/** What is known of a token, or of a request without one. */
export type Judgement =
  /** A source that answers from memory owns it. */
  | { readonly kind: "local"; readonly source: Source }
  | { readonly kind: "known"; readonly owned: OwnedToken; readonly known: Known; readonly freshness: Freshness }
  /** Nothing: its source has to be asked. */
  | { readonly kind: "unheard"; readonly owned: OwnedToken }
  | { readonly kind: "revoked"; readonly source: Source; readonly known?: Known }
  /** No source owns tokens like this one. */
  | { readonly kind: "unowned" }
  /** Its source said so a moment ago. */
  | { readonly kind: "nobody"; readonly owned: OwnedToken };

export type Judge = (token: string | undefined) => Judgement;

export function createJudge(parts: {
  readonly sources: readonly Source[];
  readonly directory: Directory;
  readonly hasher: TokenHasher;
  readonly freshness: FreshnessRules;
}): Judge {
  const { directory, hasher, freshness } = parts;
  const local = parts.sources.filter((source) => source.local);
  const remote = parts.sources.filter((source) => !source.local);

  return (token) => {
    const source = local.find((each) => each.owns(token));
    if (source) {
      const revoked = token !== undefined && directory.revocation(hasher.hash(normaliseToken(token)));
      return { kind: revoked ? "revoked" : "local", source };
    }
    if (token === undefined) return { kind: "unowned" };
    const normal = normaliseToken(token);
    const owner = remote.find((each) => each.owns(normal));
    if (!owner) return { kind: "unowned" };
    const tokenHash = hasher.hash(normal);
    const known = directory.byToken(tokenHash);
    if (directory.revocation(tokenHash)) return { kind: "revoked", source: owner, ...(known && { known }) };
    const owned = { source: owner, token: normal, tokenHash };
    // Of another source: that one no longer owns tokens like this.
    if (known && known.source === owner.name)
      return { kind: "known", owned, known, freshness: freshness.of(known, tokenHash) };
    return { kind: directory.isUnknown(tokenHash) ? "nobody" : "unheard", owned };
  };
}
