/** Lets so many pass in one turn of the event loop; the others wait for the next turns, first come, first served. */
export interface Turnstile {
  /** Undefined: passed at once. */
  pass(): Promise<void> | undefined;
}

export function createTurnstile({ perTurn }: { readonly perTurn: number }): Turnstile {
  let passed = 0;
  let waiting: (() => void)[] = [];
  /** How many of `waiting` have passed. */
  let first = 0;
  let turning = false;

  function turn(): void {
    turning = false;
    passed = 0;
    while (passed < perTurn && first < waiting.length) {
      waiting[first++]?.();
      passed++;
    }
    if (first === waiting.length) {
      waiting = [];
      first = 0;
    } else if (first > waiting.length / 2) {
      waiting = waiting.slice(first);
      first = 0;
    }
    if (passed > 0) turnSoon();
  }

  function turnSoon(): void {
    if (turning) return;
    turning = true;
    setImmediate(turn);
  }

  return {
    pass() {
      turnSoon();
      if (passed < perTurn && waiting.length === 0) {
        passed++;
        return undefined;
      }
      return new Promise((resolve) => void waiting.push(resolve));
    },
  };
}
