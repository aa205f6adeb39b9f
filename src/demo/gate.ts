// Where calls wait until somebody lets them through.

import type { Behaviour } from "./behaviour.js";
import type { CallParts } from "./call.js";

/** The gate of a demo upstream. */
export interface Gate {
  /** Whether all calls have to wait. */
  readonly closed: boolean;
  /** Puts a call at the gate; resolves with what was said of its answer when it leaves. */
  wait(parts: CallParts): Promise<Behaviour | undefined>;
  /** From now on all calls wait. */
  close(): void;
  /** Opens, for those that wait and those to come. */
  open(): void;
}

/** Open until it is closed. */
export function createGate(): Gate {
  const held = new Set<CallParts>();
  let closed = false;
  return {
    get closed() {
      return closed;
    },
    async wait(parts) {
      parts.hold();
      held.add(parts);
      const decided = await parts.decided;
      held.delete(parts);
      return decided;
    },
    close() {
      closed = true;
    },
    open() {
      closed = false;
      for (const parts of held) parts.call.answer();
    },
  };
}
