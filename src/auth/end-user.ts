// Which of an actor's users asks: what a Sourcegraph instance says with each request. It is told, not proved.

/** A user of an actor. */
export interface EndUser {
  /** The user's id at the instance, `internal` or `none`. */
  readonly id?: string;
  /** The id of a visitor who is nobody yet. */
  readonly anonymousId?: string;
}

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

function wellFormed(value: string | null | undefined): string | undefined {
  const text = value?.trim();
  return text !== undefined && form.test(text) ? text : undefined;
}
