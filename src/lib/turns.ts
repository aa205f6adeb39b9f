/** Long work in short turns, between which the event loop serves others. */
export interface Turns {
  /** Something to wait for when this turn has been long enough; otherwise undefined, so that going on costs next to nothing. */
  next(): Promise<void> | undefined;
}

/** Turns of about `turnMs` each. */
export function createTurns(turnMs = 4): Turns {
  let endsAt = performance.now() + turnMs;
  return {
    next() {
      if (performance.now() < endsAt) return undefined;
      return new Promise((resolve) => {
        setImmediate(() => {
          endsAt = performance.now() + turnMs;
          resolve();
        });
      });
    },
  };
}
