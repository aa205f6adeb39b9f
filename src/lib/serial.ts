import { createShortLivedMap } from "./short-lived.js";

/** Runs works of the same key one after another, and those of different keys side by side. */
export function createSerial(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const last = createShortLivedMap<string, Promise<unknown>>();
  return (key, work) => {
    const before = last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    last.set(key, mine);
    const forget = (): void => {
      if (last.get(key) === mine) last.delete(key);
    };
    mine.then(forget, forget);
    return mine;
  };
}
