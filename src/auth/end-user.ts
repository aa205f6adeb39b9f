// Which of an actor's users asks: what a Sourcegraph instance says with each request. It is told, not proved.

import type { EndUser } from "../actors/actor.js";
import { InvalidRequestError } from "../errors.js";

// Goes to providers behind the actor's id and a colon, and into events: nothing in it may look like more than one id.
const form = /^[\w.@+-]{1,64}$/;

/**
 * From `X-Sourcegraph-Actor-UID` and `X-Sourcegraph-Actor-Anonymous-UID`; undefined when neither names anybody. Ids of no
 * such form are passed over, as if they had not been sent.
 */
export function endUserOf(
  uid: string | null | undefined,
  anonymousUid: string | null | undefined,
): EndUser | undefined {
  const id = wellFormed(uid);
  const anonymousId = wellFormed(anonymousUid);
  if (id === undefined && anonymousId === undefined) return undefined;
  return { ...(id !== undefined && { id }), ...(anonymousId !== undefined && { anonymousId }) };
}

const anonymousPrefix = "anonymous:";

/** The user whom an operator names: the id, or `anonymous:` and that of a visitor. Throws `InvalidRequestError`. */
export function endUserNamed(name: string): EndUser {
  if (name === "") return {};
  const anonymous = name.startsWith(anonymousPrefix);
  const id = anonymous ? name.slice(anonymousPrefix.length) : name;
  if (!form.test(id)) throw new InvalidRequestError("expected the id of a user, or anonymous: and an id", "end_user");
  return anonymous ? { anonymousId: id } : { id };
}

function wellFormed(value: string | null | undefined): string | undefined {
  const text = value?.trim();
  return text !== undefined && form.test(text) ? text : undefined;
}
