import { vi } from "vitest";

/** What `vi.useFakeTimers({ toFake: [...allOfTime] })` takes over, turns of the event loop included. */
export const allOfTime = [
  "setTimeout",
  "clearTimeout",
  "setInterval",
  "clearInterval",
  "setImmediate",
  "clearImmediate",
  "Date",
  "performance",
] as const;

/** Lets time pass, and what it starts run. */
export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

/** Puts the clock forward, as after a sleep: nothing runs of what was to run meanwhile. */
export function leap(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

/** What becomes of the promise, with as little time passing as it needs. */
export async function settled<T>(promise: Promise<T>): Promise<T> {
  let done = false;
  const end = (): void => {
    done = true;
  };
  promise.then(end, end);
  // What needs no time is over after some microtasks.
  for (let at = 0; at < 20 && !done; at++) await Promise.resolve();
  while (!done) await pass(1);
  return promise;
}
