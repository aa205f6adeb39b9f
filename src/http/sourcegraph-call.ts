// What the routes of existing Sourcegraph instances read from each call alike.

import type { Actor } from "../actors/actor.js";
import type { Authenticator } from "../auth/authenticate.js";
import { bearerToken } from "../auth/credentials.js";
import { endUserOf } from "../auth/end-user.js";
import { type HttpCall, header } from "./http.js";
import { isGone } from "./reply.js";

/** Who calls. Throws as `Authenticator.authenticate` does. */
export function callerOf(authenticator: Pick<Authenticator, "authenticate">, call: HttpCall): Promise<Actor> {
  return authenticator.authenticate(tokenOf(call), call.span);
}

/** The caller's token; undefined: it has none. */
export function tokenOf({ req }: HttpCall): string | undefined {
  return bearerToken(header(req, "authorization"));
}

/** Which of the actor's users asks, where that is said. */
export function userOf({ req }: HttpCall): ReturnType<typeof endUserOf> {
  return endUserOf(header(req, "x-sourcegraph-actor-uid"), header(req, "x-sourcegraph-actor-anonymous-uid"));
}

/** `X-Timeout-Ms`: whole milliseconds. What cannot be read is passed over, as clients are used to. */
export function timeoutOf({ req }: HttpCall): number | undefined {
  const value = header(req, "x-timeout-ms");
  const ms = Number(value);
  return value !== undefined && Number.isSafeInteger(ms) && ms > 0 ? ms : undefined;
}

/** Aborts when nobody is there any more to read the answer. */
export function goneSignal({ res }: HttpCall): AbortSignal {
  const gone = new AbortController();
  if (isGone(res)) gone.abort();
  else res.once("close", () => gone.abort());
  return gone.signal;
}

/** What there is to answer; undefined, whatever came of it, where nobody is there to be answered. */
export async function unlessGone<T>(gone: AbortSignal, answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (gone.aborted) return undefined;
    throw error;
  }
}
