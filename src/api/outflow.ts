import type { Message } from "@bufbuild/protobuf";
import type { Outlet } from "./outlet.js";

/**
 * The messages of one answer, from a producer that cannot wait. For Connect it is what a handler returns; but only the first
 * message, the end, and what the outlet does not take go that way.
 */
export interface Outflow<M> extends AsyncIterable<M> {
  /** Takes messages that came at once. */
  push(messages: readonly M[]): void;
  end(): void;
  /** Ends it with an error, after what was pushed. */
  fail(error: unknown): void;
  hasRoom(): boolean;
  /** Calls back once, when the caller has caught up. */
  onRoom(resume: () => void): void;
}

/** Connect's wait for the next message. */
interface Pull<M> {
  resolve(next: IteratorResult<M, undefined>): void;
  reject(error: unknown): void;
}

/** There is room for `max` bytes of messages that wait for Connect, by `sizeOf` each. `outlet` undefined: all go to Connect. */
export function createOutflow<M extends Message>(
  outlet: Outlet | undefined,
  { max, sizeOf }: { readonly max: number; readonly sizeOf: (message: M) => number },
): Outflow<M> {
  let waiting: readonly M[] = [];
  let pull: Pull<M> | undefined;
  let done: { readonly error?: unknown } | undefined;
  let resume: (() => void) | undefined;
  let draining = false;

  /** Moves on what can be: only while Connect waits, or messages would overtake the one that it writes. */
  function flow(): void {
    if (pull && waiting.length > 0) waiting = waiting.slice(outlet?.write(waiting) ?? 0);
    if (pull && waiting.length > 0) {
      const [value, ...rest] = waiting as readonly [M, ...M[]];
      waiting = rest;
      pull.resolve({ done: false, value });
      pull = undefined;
    } else if (pull && done) {
      if ("error" in done) pull.reject(done.error);
      else pull.resolve(over);
      pull = undefined;
      done = {};
    }
    tellRoom();
  }

  function tellRoom(): void {
    if (!resume || waiting.length > 0 || draining) return;
    if (outlet?.isFull()) {
      draining = true;
      outlet.onDrain(() => {
        draining = false;
        tellRoom();
      });
      return;
    }
    const told = resume;
    resume = undefined;
    // It may push at once, and register the next one.
    told();
  }

  function finish(how: { readonly error?: unknown }): void {
    done ??= how;
    flow();
  }

  /** Nobody takes messages any more. */
  function close(): void {
    waiting = [];
    done = {};
    flow();
  }

  return {
    push(messages) {
      if (done) return;
      waiting = waiting.length === 0 ? messages : [...waiting, ...messages];
      flow();
    },
    end: () => finish({}),
    fail: (error) => finish({ error }),
    hasRoom: () => outlet?.isFull() !== true && waiting.reduce((size, message) => size + sizeOf(message), 0) < max,
    onRoom(callback) {
      resume = callback;
      tellRoom();
    },
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise((resolve, reject) => {
          pull = { resolve, reject };
          flow();
        }),
      async return() {
        close();
        return over;
      },
      async throw(error: unknown) {
        close();
        throw error;
      },
    }),
  };
}

const over = { done: true, value: undefined } as const;
