// How far a call is, what is decided about it, and how it ends.

import type { ServerResponse } from "node:http";
import type { Behaviour } from "./behaviour.js";

/** `held`: waits at the gate. `answered`: ended as it should. `aborted`: the caller left. `broken`: cut off on purpose. */
export type CallState = "held" | "answering" | "answered" | "aborted" | "broken";

/** The progress of one call. */
export interface Progress {
  readonly state: CallState;
  readonly abortedAt: Date | undefined;
  /** Resolves when the caller left before the end. */
  readonly aborted: Promise<void>;
  /** Resolves when nothing more will happen, whichever way it ended. */
  readonly over: Promise<void>;
  /** Resolves with how it is to be answered; undefined: by hand, or not at all. */
  readonly decided: Promise<Behaviour | undefined>;
  /** Puts it at the gate until decided. */
  hold(): void;
  /** Leaves the gate. The first decision counts. */
  decide(behaviour: Behaviour | undefined): void;
  /** It is about to be cut off on purpose. */
  breaks(): void;
}

/** The progress of the call that is answered by `res`. `onChange` is called whenever its state changes. */
export function createProgress(res: ServerResponse, onChange: () => void): Progress {
  let state: CallState = "answering";
  let abortedAt: Date | undefined;
  let broken = false;
  let signalAborted: () => void;
  let signalOver: () => void;
  let settle: (behaviour: Behaviour | undefined) => void;
  const aborted = new Promise<void>((resolve) => {
    signalAborted = resolve;
  });
  const over = new Promise<void>((resolve) => {
    signalOver = resolve;
  });
  const decided = new Promise<Behaviour | undefined>((resolve) => {
    settle = resolve;
  });

  function become(next: CallState): void {
    state = next;
    onChange();
  }

  res.once("close", () => {
    if (broken) become("broken");
    else if (res.writableFinished) become("answered");
    else {
      abortedAt = new Date();
      become("aborted");
      signalAborted();
    }
    settle(undefined);
    signalOver();
  });

  return {
    get state() {
      return state;
    },
    get abortedAt() {
      return abortedAt;
    },
    aborted,
    over,
    decided,
    hold: () => become("held"),
    decide(behaviour) {
      if (state === "held") become("answering");
      settle(behaviour);
    },
    breaks() {
      broken = true;
    },
  };
}
