/** Events on their way from a producer that cannot wait to a consumer that may be slow. */
export interface Queue<T> extends AsyncIterable<T> {
  push(item: T): void;
  end(): void;
  fail(error: unknown): void;
  hasRoom(): boolean;
  /** Calls back once, when the consumer has caught up. */
  onRoom(resume: () => void): void;
}

/** A queue that has room for items of about `max` in all, one each or by `sizeOf`; more are kept, but `hasRoom` says to stop. One consumer. */
export function createQueue<T>(max: number, sizeOf: (item: T) => number = () => 1): Queue<T> {
  let items: T[] = [];
  let size = 0;
  let done: { error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  let resume: (() => void) | undefined;
  const notify = (): void => {
    wake?.();
    wake = undefined;
  };
  return {
    push(item) {
      items.push(item);
      size += sizeOf(item);
      notify();
    },
    end() {
      done ??= {};
      notify();
    },
    fail(error) {
      done ??= { error };
      notify();
    },
    hasRoom: () => size < max,
    onRoom(callback) {
      if (items.length === 0) callback();
      else resume = callback;
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const batch = items;
        items = [];
        size = 0;
        for (const item of batch) yield item;
        if (items.length > 0) continue;
        // What is told may write at once, and register the next one.
        const told = resume;
        resume = undefined;
        told?.();
        if (items.length > 0) continue;
        if (done) {
          if ("error" in done) throw done.error;
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
