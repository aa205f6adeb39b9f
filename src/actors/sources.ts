import { UnauthenticatedError, UnavailableError } from "../errors.js";
import type { Actor } from "./actor.js";
import type { FoundActor, Source } from "./source.js";

/** All sources, in the order in which they are asked. */
export interface Sources {
  /**
   * The actor `token` belongs to. Throws `UnauthenticatedError` when it belongs to nobody, `UnavailableError` when the
   * source that owns it cannot say.
   */
  find(token: string | undefined): Promise<Actor>;
}

/** Time a source has to say whose a token is. */
const lookupTimeoutMs = 5_000;

// Making a signal with a timer costs more than a look-up in memory.
const never = new AbortController().signal;

export function createSources(parts: { sources: readonly Source[] }): Sources {
  return {
    async find(token) {
      const source = parts.sources.find((each) => each.owns(token));
      if (!source) throw unknown(token);
      let found: FoundActor | undefined;
      try {
        found = await source.lookup(token, source.local ? never : AbortSignal.timeout(lookupTimeoutMs));
      } catch (cause) {
        throw new UnavailableError("SOURCE_UNAVAILABLE", "the token's source cannot be asked", 5_000, { cause });
      }
      if (!found) throw unknown(token);
      return found.actor;
    },
  };
}

function unknown(token: string | undefined): UnauthenticatedError {
  return token === undefined
    ? new UnauthenticatedError("TOKEN_MISSING", "Cody Gateway access not enabled")
    : new UnauthenticatedError("TOKEN_INVALID", "token not from source: no source found for token");
}
