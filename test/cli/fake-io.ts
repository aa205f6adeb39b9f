import { licenseToken, patToken } from "../../src/actors/token.js";
import type { Io, Signal } from "../../src/cli/io.js";

/** One line of a log. */
export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

/** A process that a test looks into. Files are those of `files`; `-` is standard input. */
export function fakeIo(env: Readonly<Record<string, string>> = {}, files: Record<string, string> = {}) {
  const written = { stdout: "", stderr: "" };
  const log: LogLine[] = [];
  const state = {
    signal: undefined as ((signal: Signal) => void) | undefined,
    readerGone: undefined as (() => void) | undefined,
    fatal: undefined as ((error: unknown) => void) | undefined,
    changed: undefined as (() => void) | undefined,
    flushed: 0,
  };
  const at = (level: string) => (fields: object, message: string) =>
    void log.push({ level, fields: fields as Record<string, unknown>, message });
  const io: Io = {
    env,
    stdout: { write: (text) => void (written.stdout += text) },
    stderr: { write: (text) => void (written.stderr += text) },
    version: "1.2.3",
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" });
      return text;
    },
    watchFile: (_, onChange) => {
      state.changed = onChange;
      return () => {
        state.changed = undefined;
      };
    },
    onSignal: (listener) => {
      state.signal = listener;
      return () => {
        state.signal = undefined;
      };
    },
    onReaderGone: (listener) => {
      state.readerGone = listener;
      return () => {
        state.readerGone = undefined;
      };
    },
    onFatal: (listener) => {
      state.fatal = listener;
      return () => {
        state.fatal = undefined;
      };
    },
    createLog: () => ({
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      flush: () => void (state.flushed += 1),
    }),
    tokens: { license: licenseToken, pat: patToken },
  };
  return { io, written, log, state };
}
