import { write, writeSync } from "node:fs";

/** Where lines go. */
export interface LogDestination {
  write(line: string): void;
  /** Writes what waits, before it returns; what is being written already is left to the system. */
  flush(): void;
}

/** Lines are gathered up to this length, or for so long. */
const blockLength = 16 * 1024;
const blockMs = 250;
/** How long to wait for a reader that has no room at the moment. */
const fullMs = 10;

/**
 * A file descriptor. JSON is gathered and written in blocks; a terminal's lines are written at once. A log that cannot be
 * written does not end the process. `maxPending`: most text held in memory while its reader is slow; lines beyond it are
 * dropped, and counted.
 */
export function createDestination(fd: number, format: "json" | "pretty", maxPending = 8 * 1024 * 1024): LogDestination {
  if (format === "pretty") return { write: (line) => writeNow(fd, Buffer.from(line)), flush() {} };
  let pending = "";
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  // What is being written, from where it is not yet, and the wait for a reader that has no room for it.
  let block: Buffer | undefined;
  let full: NodeJS.Timeout | undefined;

  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    if (block !== undefined || pending === "") return;
    block = Buffer.from(pending);
    pending = "";
    writeOn();
  }

  function writeOn(): void {
    full = undefined;
    if (block !== undefined) write(fd, block, onWritten);
  }

  function onWritten(error: NodeJS.ErrnoException | null, written: number): void {
    if (error?.code === "EAGAIN") {
      full = setTimeout(writeOn, fullMs).unref();
      return;
    }
    // Whom nobody reads any more has nothing to say.
    block = error ? undefined : block?.subarray(written);
    if (block !== undefined && block.length > 0) return writeOn();
    block = undefined;
    if (pending.length >= blockLength) send();
    else if (pending !== "") timer ??= setTimeout(send, blockMs).unref();
  }

  return {
    write(line) {
      if (pending.length + line.length > maxPending) {
        dropped++;
        return;
      }
      if (dropped > 0) {
        const lost = { level: "warn", time: new Date().toISOString(), lines: dropped, msg: "log lines dropped" };
        dropped = 0;
        pending += `${JSON.stringify(lost)}\n`;
      }
      pending += line;
      if (pending.length >= blockLength) send();
      else timer ??= setTimeout(send, blockMs).unref();
    },
    flush() {
      clearTimeout(timer);
      timer = undefined;
      if (full !== undefined && block !== undefined) {
        clearTimeout(full);
        writeNow(fd, block);
        block = full = undefined;
      }
      writeNow(fd, Buffer.from(pending));
      pending = "";
    },
  };
}

/** Longest that a line for people, or the last lines of a process, wait for their reader. */
const patienceMs = 1_000;

function writeNow(fd: number, data: Buffer): void {
  const until = performance.now() + patienceMs;
  for (let at = 0; at < data.length; ) {
    try {
      at += writeSync(fd, data, at);
    } catch (error) {
      const full = error instanceof Error && "code" in error && error.code === "EAGAIN";
      if (!full || performance.now() > until) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fullMs);
    }
  }
}
