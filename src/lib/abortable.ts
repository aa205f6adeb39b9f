/**
 * `items`, until the signal aborts: then throws its reason, also when whoever makes the items does not listen to the signal
 * and goes on for ever.
 */
export async function* abortable<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
  });
  // It may never be waited for again.
  aborted.catch(() => {});
  signal.addEventListener("abort", abort, { once: true });
  let ended = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = iterator.next();
      next.catch(() => {});
      const { done, value } = await Promise.race([next, aborted]);
      if (done) {
        ended = true;
        return;
      }
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    // Not waited for: it may hang.
    if (!ended) iterator.return?.()?.then(undefined, () => {});
  }
}
