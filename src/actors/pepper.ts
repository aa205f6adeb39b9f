// The key of token hashes, where operators set none: made once, kept in the store, the same for all processes.

import { randomBytes } from "node:crypto";
import type { ActorStore } from "./store.js";
import type { TokenHasher } from "./token.js";

/** Time between two tries while the store is away. */
const retryMs = 1_000;
/** Time between two looks at what is kept: a store that lost everything is given it again, maybe another than this process made. */
const keepMs = 5_000;

/** A pepper for as long as there is no other. */
export function makePepper(): string {
  return randomBytes(32).toString("base64url");
}

/** Tells whether hashes are of one pepper, and of the pepper nothing else. */
export function pepperMark(hasher: Pick<TokenHasher, "hash">): string {
  return hasher.hash("mark of the pepper").slice(0, 12);
}

/**
 * Calls back with the pepper that the store keeps, which is `own` if it kept none; and again should it be another one some day,
 * because the store lost it and somebody else was faster. Resolves after the first try.
 */
export async function sharePepper(
  store: Pick<ActorStore, "keep">,
  own: string,
  onPepper: (pepper: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let current: string | undefined;
  async function look(): Promise<void> {
    let waitMs = retryMs;
    try {
      const kept = await store.keep("pepper", current ?? own);
      if (kept !== current) onPepper(kept);
      current = kept;
      waitMs = keepMs;
    } catch {
      // It is asked again.
    }
    if (!signal.aborted) setTimeout(() => void look(), waitMs).unref();
  }
  await look();
}
