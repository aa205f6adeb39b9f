/** What a demo back end was asked, oldest first. */
export interface CallLog<T> {
  readonly calls: readonly T[];
  add(call: T): void;
  /** The first call for which this holds, now or within that time, 30 s by default. */
  waitFor(predicate: (call: T) => boolean, timeoutMs?: number): Promise<T>;
  clear(): void;
}

/** A log that keeps about the last `keep` calls. */
export function createCallLog<T>(keep = 10_000): CallLog<T> {
  let calls: T[] = [];
  const waiting = new Set<(call: T) => void>();
  return {
    get calls() {
      return calls;
    },
    add(call) {
      calls.push(call);
      if (calls.length > keep * 2) calls = calls.slice(-keep);
      for (const look of waiting) look(call);
    },
    waitFor(predicate, timeoutMs = 30_000) {
      const found = calls.find(predicate);
      if (found) return Promise.resolve(found);
      return new Promise((resolve, reject) => {
        const look = (call: T): void => {
          if (!predicate(call)) return;
          waiting.delete(look);
          clearTimeout(timer);
          resolve(call);
        };
        waiting.add(look);
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`no such call within ${timeoutMs} ms; there were ${calls.length}`));
        }, timeoutMs);
      });
    },
    clear() {
      calls = [];
    },
  };
}
