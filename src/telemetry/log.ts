import { isoTime } from "../lib/iso-time.js";
import type { Log } from "../lib/log.js";
import { cleanJson, cleanMembers } from "./clean.js";
import { createDestination, type LogDestination } from "./destination.js";
import { prettyLine } from "./pretty.js";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** The log of the process. */
export interface ProcessLog extends Log {
  /** Writes what is still in memory. Call it before the process ends. */
  flush(): void;
}

/**
 * A log of one JSON object a line, or of lines for people. Whatever is passed to it, no line holds a secret that can be
 * told by its name or form, a control character, or a field over 1 KiB. `color` is for `pretty`.
 */
export function createLog(
  options: {
    readonly level: LogLevel;
    readonly format: "json" | "pretty";
    readonly color?: boolean;
    /** Name of the deployment, for lines of JSON. */
    readonly environment?: string;
  },
  destination: LogDestination = createDestination(2, options.format),
): ProcessLog {
  const { format, color = false } = options;
  const { environment } = options;
  const where = format === "pretty" || environment === undefined ? "" : `"environment":${cleanJson(environment)},`;
  const jsonLine = createJsonLine(where);
  const lineOf =
    format === "json" ? jsonLine : (...line: Parameters<typeof jsonLine>) => prettyLine(jsonLine(...line), color);
  const from = levels.indexOf(options.level);
  const at = (level: Exclude<LogLevel, "silent">) =>
    levels.indexOf(level) < from
      ? () => {}
      : (fields: object, message: string) => destination.write(lineOf(level, fields, message));
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    flush: () => destination.flush(),
  };
}

const levels: readonly LogLevel[] = ["debug", "info", "warn", "error", "silent"];

/** `where` stands in every line whose fields do not say it: usage events do. */
function createJsonLine(where: string) {
  return (level: Exclude<LogLevel, "silent">, fields: object, message: string): string => {
    const members = cleanMembers(fields);
    const said = `${members}${members === "" ? "" : ","}"msg":${cleanJson(message)}`;
    return `{"level":"${level}","time":"${isoTime(Date.now())}",${"environment" in fields ? "" : where}${said}}\n`;
  };
}
