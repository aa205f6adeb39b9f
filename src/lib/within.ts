/**
 * What `work` comes to within so much time. Then its signal aborts, and this rejects with a `TimeoutError`, whether `work`
 * listens to the signal or not.
 */
export async function within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new DOMException("no answer in time", "TimeoutError");
      abort.abort(error);
      reject(error);
    }, ms);
  });
  try {
    const working = work(abort.signal);
    // Nobody may be left to hear of it.
    working.catch(() => {});
    return await Promise.race([working, late]);
  } finally {
    clearTimeout(timer);
  }
}
