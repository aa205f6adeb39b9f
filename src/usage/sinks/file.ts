import { appendFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Sink } from "../sink.js";
import { targetKey } from "../target.js";
import { createLineSink } from "./lines.js";

/** Appends to the file at `path`, which is opened anew for each batch: it may be moved away at any time. */
export function createFileSink(path: string): Sink {
  const key = targetKey("file", resolve(path));
  return { ...createLineSink("file", (text) => appendFile(path, text, { mode: 0o640 })), key };
}
