// How often sources are asked for single actors: so seldom that nobody can make the gateway a burden for them.

import { createBucket } from "../lib/bucket.js";
import type { ActorStore } from "./store.js";

/** `cold`: nothing is known of the token. `refresh`: an actor that is known is asked for anew. */
export type LookupPurpose = "cold" | "refresh";

export interface LookupPermits {
  /** Whether this process may try: costs nothing, so that a flood is refused before it costs anybody anything. */
  admit(purpose: LookupPurpose): boolean;
  /** Takes a permit that all processes share. */
  take(purpose: LookupPurpose): Promise<boolean>;
}

// In any second at most the sum of both: 10.
const all = { perSecond: 8, burst: 2 };
/** Less than all, so that a flood of unknown tokens leaves something for actors that are in use. */
const cold = { perSecond: 6, burst: 2 };
/** Tries of one process for each purpose. */
const ofProcess = { perSecond: 10, burst: 10 };
/** Of one process while the store cannot be asked: several of them may go on by themselves. */
const alone = { perSecond: 2, burst: 2 };

/** Permits for look-ups at all sources together. `monotonic` in ms. */
export function createLookupPermits(
  store: Pick<ActorStore, "take">,
  monotonic: () => number = () => performance.now(),
): LookupPermits {
  const own = { cold: createBucket(monotonic, ofProcess), refresh: createBucket(monotonic, ofProcess) };
  const fallback = createBucket(monotonic, alone);
  return {
    admit: (purpose) => own[purpose].take(),
    async take(purpose) {
      try {
        if (purpose === "cold" && !(await store.take("lookups/cold", cold))) return false;
        return await store.take("lookups", all);
      } catch {
        return fallback.take();
      }
    },
  };
}
