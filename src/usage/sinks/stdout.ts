import { write as writeFd } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Sink } from "../sink.js";
import { createLineSink } from "./lines.js";

const standardOutput = 1;

/** How long to wait for a reader that has no room at the moment. */
const fullMs = 10;

/** Writes to standard output. Logs go to standard error, so the two do not mix. */
export function createStdoutSink(
  write: (text: string) => Promise<void> = (text) => writeAll(standardOutput, text),
): Sink {
  return createLineSink("stdout", write);
}

const writeOnce = promisify(writeFd);

/** Writes all of `text`. Not `process.stdout`: with a pipe that nobody reads it would stop the whole process. */
export async function writeAll(fd: number, text: string, once = writeOnce): Promise<void> {
  const data = Buffer.from(text);
  for (let at = 0; at < data.length; ) {
    try {
      at += (await once(fd, data, at)).bytesWritten;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
      await delay(fullMs);
    }
  }
}
