import type { Actor } from "../actors/actor.js";
import type { Sources } from "../actors/sources.js";
import { AccessDisabledError } from "../errors.js";

/** Turns a token into the actor it belongs to, for RPCs and HTTP alike. */
export interface Authenticator {
  /**
   * Throws `UnauthenticatedError`, `AccessDisabledError`, or `UnavailableError` when the actor's source cannot say.
   * `undefined` is a request without a token: the anonymous actor's, where there is one.
   */
  authenticate(token: string | undefined): Promise<Actor>;
  /** The same for what does not depend on access to models: an actor whose access is disabled is one all the same. */
  identify(token: string | undefined): Promise<Actor>;
}

export function createAuthenticator(parts: { sources: Pick<Sources, "find" | "refused"> }): Authenticator {
  return {
    identify: (token) => parts.sources.find(token),
    async authenticate(token) {
      const actor = await parts.sources.find(token);
      if (actor.accessEnabled) return actor;
      parts.sources.refused(actor);
      throw new AccessDisabledError(actor);
    },
  };
}
