import { refuseCall } from "./admin-client.js";
import { exitCodes } from "./exit-codes.js";
import type { Io } from "./io.js";

/** How often a view is made anew. */
const everyMs = 2_000;

/**
 * Shows once, or with `watch` again and again on a cleared screen, until the process is told to stop. What has been shown once is
 * worth waiting for: a gateway that does not answer for a while is told of, and asked again.
 */
export async function repeatWhile(
  watch: boolean,
  io: Io,
  show: (call: { readonly signal?: AbortSignal }) => Promise<void>,
): Promise<number> {
  if (!watch) {
    await show({});
    return exitCodes.done;
  }
  await untilSignal(io, async (signal) => {
    for (let shown = false; !signal.aborted; await pause(everyMs, signal)) {
      if (io.stdout.isTTY === true) io.stdout.write("\u001b[2J\u001b[H");
      try {
        await show({ signal });
        shown = true;
      } catch (error) {
        if (!shown || signal.aborted) throw error;
        refuseCall(error, io);
      }
    }
  });
  return exitCodes.done;
}

/** Works until it is done, the process is told to stop, or nobody reads what it writes, which are no failures. */
export async function untilSignal(io: Io, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const unlisten = [io.onSignal(() => stop.abort()), io.onReaderGone(() => stop.abort())];
  try {
    await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    for (const each of unlisten) each();
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
