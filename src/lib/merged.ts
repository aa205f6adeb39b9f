/** The items of all, each as soon as it comes. The first failure ends it; so does leaving the loop, for all of them. */
export async function* merged<T>(all: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  const iterators = all.map((items) => items[Symbol.asyncIterator]());
  const next = (at: number): Promise<{ at: number; result: IteratorResult<T> }> =>
    (iterators[at] as AsyncIterator<T>).next().then((result) => ({ at, result }));
  const waiting = new Map(iterators.map((_, at) => [at, next(at)]));
  try {
    while (waiting.size > 0) {
      const { at, result } = await Promise.race(waiting.values());
      if (result.done) {
        waiting.delete(at);
        continue;
      }
      waiting.set(at, next(at));
      yield result.value;
    }
  } finally {
    for (const promise of waiting.values()) promise.catch(() => {});
    for (const at of waiting.keys()) iterators[at]?.return?.()?.then(undefined, () => {});
  }
}
