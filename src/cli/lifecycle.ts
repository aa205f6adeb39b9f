import type { Gateway } from "../gateway.js";
import { exitCodes } from "./exit-codes.js";
import type { Io, ProcessLog } from "./io.js";

/** Time a second signal leaves to what is under way. */
const hurriedMs = 1_000;
/** Time an error that nobody caught leaves: the process is not to be trusted any more. */
const fatalMs = 5_000;

/**
 * Serves until a signal, or an error that nobody caught, ends it; resolves to the exit code. SIGTERM and SIGINT drain, a
 * second one shortens, a third one ends at once. SIGHUP calls `onHangup`.
 */
export async function untilStopped(parts: {
  readonly gateway: Pick<Gateway, "drain">;
  readonly log: ProcessLog;
  readonly io: Pick<Io, "onSignal" | "onFatal" | "stderr">;
  readonly onHangup: () => void;
}): Promise<number> {
  const { gateway, log, io, onHangup } = parts;
  let stops: (() => void)[] = [];
  try {
    return await new Promise<number>((end) => {
      const drain = async (code: number, options: Parameters<Gateway["drain"]>[0]): Promise<void> => {
        try {
          const outcome = await gateway.drain(options);
          log.info({ outcome }, "stopped");
          end(code);
        } catch (error) {
          log.error({ error }, "could not stop in order");
          end(exitCodes.failed);
        }
      };

      let asked = 0;
      const onSignal = (signal: "SIGTERM" | "SIGINT"): void => {
        asked += 1;
        log.info({ signal }, asked === 1 ? "stopping" : "stopping now");
        // Who presses Ctrl-C is no load balancer that has yet to notice.
        const atTerminal = signal === "SIGINT" && io.stderr.isTTY === true;
        if (asked === 1) void drain(exitCodes.done, atTerminal ? { delayMs: 0 } : {});
        else if (asked === 2) void drain(exitCodes.done, { delayMs: 0, timeoutMs: hurriedMs });
        else end(exitCodes.failed);
      };

      let failed = false;
      const onFatal = (error: unknown): void => {
        log.error({ error }, "error that nobody caught");
        if (failed) end(exitCodes.failed);
        failed = true;
        setTimeout(() => end(exitCodes.failed), fatalMs).unref();
        void drain(exitCodes.failed, { delayMs: 0, timeoutMs: fatalMs / 2 });
      };

      stops = [io.onSignal((signal) => (signal === "SIGHUP" ? onHangup() : onSignal(signal))), io.onFatal(onFatal)];
    });
  } finally {
    for (const stop of stops) stop();
  }
}
