import type { Actor } from "../actors/actor.js";
import type { Sources } from "../actors/sources.js";
import { AccessDisabledError } from "../errors.js";
import type { Span } from "../lib/span.js";
import { createTurnstile } from "../lib/turnstile.js";

/** Turns a token into the actor it belongs to, for RPCs and HTTP alike. */
export interface Authenticator {
  /**
   * Throws `UnauthenticatedError`, `AccessDisabledError`, or `UnavailableError` when the actor's source cannot say.
   * `undefined` is a request without a token: the anonymous actor's, where there is one. `span` is told when a source is asked.
   */
  authenticate(token: string | undefined, span?: Span): Promise<Actor>;
  /** The same for what does not depend on access to models: an actor whose access is disabled is one all the same. */
  identify(token: string | undefined, span?: Span): Promise<Actor>;
  /**
   * When to begin with a request that takes work before it is authenticated. Undefined: now; strangers wait for their turn, so that
   * a flood of them is not read before those who are known are.
   */
  turnOf(token: string | undefined): Promise<void> | undefined;
}

/**
 * Strangers that are let in, and that are turned away, in one turn of the event loop. Where thousands of them come each second, those who are known get
 * their turn after a few of them, and not after all that have come meanwhile.
 */
const strangersPerTurn = 4;

export function createAuthenticator(parts: { sources: Pick<Sources, "find" | "knows" | "refused"> }): Authenticator {
  const { sources } = parts;
  const strangers = createTurnstile({ perTurn: strangersPerTurn });
  const atTheDoor = createTurnstile({ perTurn: strangersPerTurn });

  // Handed on and not thrown again: where strangers come by the thousand, that is a tenth of the work.
  const turnedAway = (why: unknown): Promise<never> => {
    const turn = strangers.pass();
    return turn ? turn.then(() => Promise.reject(why)) : Promise.reject(why);
  };
  const granted = (actor: Actor): Actor => {
    if (actor.accessEnabled) return actor;
    sources.refused(actor);
    throw new AccessDisabledError(actor);
  };

  return {
    identify: (token, span) => sources.find(token, span).catch(turnedAway),
    turnOf: (token) => (sources.knows(token) ? undefined : atTheDoor.pass()),
    authenticate: (token, span) => sources.find(token, span).then(granted, turnedAway),
  };
}
