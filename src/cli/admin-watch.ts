import { exitCodes } from "./exit-codes.js";
import type { Io } from "./io.js";

/** How often a view is made anew. */
const everyMs = 2_000;

/** Shows once, or with `watch` again and again on a cleared screen, until the process is told to stop. */
export async function repeatWhile(watch: boolean, io: Io, show: () => Promise<void>): Promise<number> {
  if (!watch) {
    await show();
    return exitCodes.done;
  }
  await untilSignal(io, async (signal) => {
    while (!signal.aborted) {
      if (io.stdout.isTTY === true) io.stdout.write("\u001b[2J\u001b[H");
      await show();
      await pause(everyMs, signal);
    }
  });
  return exitCodes.done;
}

/** Works until it is done or the process is told to stop, which is no failure. */
export async function untilSignal(io: Io, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const unlisten = io.onSignal(() => stop.abort());
  try {
    await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    unlisten();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
