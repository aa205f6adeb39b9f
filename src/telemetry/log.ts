import pino from "pino";
import type { Log } from "../lib/log.js";
import { cleanFields, cleanText } from "./clean.js";
import { prettyLine } from "./pretty.js";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** The log of the process. */
export interface ProcessLog extends Log {
  /** Writes what is still in memory. Call it before the process ends. */
  flush(): void;
}

/** Where lines go. */
export interface LogDestination {
  write(line: string): void;
  flush(): void;
}

/**
 * A log of one JSON object a line, or of lines for people. Whatever is passed to it, no line holds a secret that can be
 * told by its name or form, a control character, or a field over 1 KiB. `color` is for `pretty`.
 */
export function createLog(
  options: { readonly level: LogLevel; readonly format: "json" | "pretty"; readonly color?: boolean },
  destination: LogDestination = createDestination(2, options.format),
): ProcessLog {
  const write = options.format === "json" ? jsonWriter(destination) : prettyWriter(destination, options.color ?? false);
  const from = levels.indexOf(options.level);
  const at = (level: Exclude<LogLevel, "silent">) =>
    levels.indexOf(level) < from
      ? () => {}
      : (fields: object, message: string) => write(level, cleanFields(fields), cleanText(message));
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    flush: () => destination.flush(),
  };
}

const levels: readonly LogLevel[] = ["debug", "info", "warn", "error", "silent"];

type Write = (level: Exclude<LogLevel, "silent">, fields: Record<string, unknown>, message: string) => void;

function jsonWriter(destination: LogDestination): Write {
  const logger = pino(
    {
      level: "debug",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    destination,
  );
  return (level, fields, message) => {
    // These are the line's own: a field of the same name would stand in it twice.
    for (const name of ["level", "time", "msg"]) {
      if (!(name in fields)) continue;
      fields[`${name}_`] = fields[name];
      delete fields[name];
    }
    logger[level](fields, message);
  };
}

function prettyWriter(destination: LogDestination, color: boolean): Write {
  return (level, fields, message) => destination.write(prettyLine({ level, fields, message, color, time: new Date() }));
}

/** Most text held in memory while the reader of the log is slow; lines beyond it are dropped, and counted. */
const maxPending = 8 * 1024 * 1024;

/** A file descriptor. JSON is gathered and written in blocks, at least every quarter of a second; a terminal's lines are written at once. */
export function createDestination(fd: number, format: "json" | "pretty"): LogDestination {
  if (format === "pretty") {
    const direct = pino.destination({ dest: fd, sync: true });
    direct.on("error", ignore);
    return { write: (line) => void direct.write(line), flush: ignore };
  }
  const gathered = pino.destination({
    dest: fd,
    sync: false,
    minLength: 4096,
    maxLength: maxPending,
    periodicFlush: 250,
  });
  let dropped = 0;
  gathered.on("drop", () => {
    dropped += 1;
  });
  // A log that cannot be written must not end the process.
  gathered.on("error", ignore);
  return {
    write(line) {
      if (gathered.write(line) && dropped > 0) {
        const lost = { level: "warn", time: new Date().toISOString(), lines: dropped, msg: "log lines dropped" };
        dropped = 0;
        gathered.write(`${JSON.stringify(lost)}\n`);
      }
    },
    flush() {
      try {
        gathered.flushSync();
      } catch {
        // Nobody reads it any more.
      }
    },
  };
}

function ignore(): void {}
