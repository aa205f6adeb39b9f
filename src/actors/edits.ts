// What operators change: overrides of actors, and tokens that are refused. Every process follows within a second.

import { NotFoundError } from "../errors.js";
import type { Directory } from "./directory.js";
import { type Override, overrideName } from "./override.js";
import { pepperMark } from "./pepper.js";
import { overrideRecord, overrideRemoval, type Revocation, revocationRecord, revocationRemoval } from "./records.js";
import type { ActorStore } from "./store.js";
import type { TokenHasher } from "./token.js";

/** All throw `UnavailableError` when the store cannot be asked. */
export interface ActorEdits {
  /** Puts an override in place of the one of the same name, which is returned. */
  setOverride(override: Omit<Override, "setAt">): Promise<{ readonly set: Override; readonly replaced?: Override }>;
  /**
   * Removes the override of this name, or all of the actor. Throws `NotFoundError` when there is none.
   */
  clearOverrides(source: string, id: string, name: string | undefined): Promise<readonly Override[]>;
  /** Refuses a token until the revocation ends. */
  revoke(
    revocation: Omit<Revocation, "revokedAt" | "pepper">,
  ): Promise<{ readonly set: Revocation; readonly replaced?: Revocation }>;
  /** Ends a revocation, which is returned. Throws `NotFoundError` when the token is not revoked. */
  lift(tokenHash: string): Promise<Revocation>;
}

export function createActorEdits(parts: {
  readonly store: ActorStore;
  readonly directory: Directory;
  readonly hasher: TokenHasher;
}): ActorEdits {
  const { store, directory, hasher } = parts;
  return {
    async setOverride(override) {
      const name = overrideName(override.subject);
      const replaced = directory
        .overridesOf(override.source, override.id)
        .find(({ subject }) => overrideName(subject) === name);
      const set = { ...override, setAt: store.now() };
      await store.write([overrideRecord(set)]);
      return { set, ...(replaced && { replaced }) };
    },

    async clearOverrides(source, id, name) {
      const cleared = directory
        .overridesOf(source, id)
        .filter(({ subject }) => name === undefined || overrideName(subject) === name);
      if (cleared.length === 0) throw new NotFoundError("no such override", `override/${name ?? "*"}`);
      await store.write(cleared.map(({ subject }) => overrideRemoval(source, id, overrideName(subject))));
      return cleared;
    },

    async revoke(revocation) {
      const replaced = directory.revocation(revocation.tokenHash);
      const set = { ...revocation, revokedAt: store.now(), pepper: pepperMark(hasher) };
      await store.write([revocationRecord(set)]);
      return { set, ...(replaced && { replaced }) };
    },

    async lift(tokenHash) {
      const revocation = directory.revocation(tokenHash);
      if (!revocation) throw new NotFoundError("the token is not revoked", "revocation");
      await store.write([revocationRemoval(tokenHash)]);
      return revocation;
    },
  };
}
