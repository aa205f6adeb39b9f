import { untilAborted } from "./until-aborted.js";

/**
 * `items`, until the signal aborts: then throws its reason, also when whoever makes the items does not listen to the signal
 * and goes on for ever.
 */
export async function* abortable<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      // A promise of its own each time: one that outlives them all would keep every item.
      const { done, value } = await untilAborted(iterator.next(), signal);
      if (done) {
        ended = true;
        return;
      }
      yield value;
    }
  } finally {
    // Not waited for: it may hang.
    if (!ended) iterator.return?.()?.then(undefined, () => {});
  }
}
