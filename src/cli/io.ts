import type { Log } from "../lib/log.js";

/** What a command sees of the process. Passed in, so that tests run commands without one. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  /** The gateway's version, as `version` and `/-/__version` say it. */
  readonly version: string;
  /** Reads a text file, or standard input for `-`. Throws as `fs.readFileSync` does. */
  readonly readFile: (path: string) => string;
  /** Calls `onChange` whenever the file at `path` is another one than before; returns how to stop. */
  readonly watchFile: (path: string, onChange: () => void) => () => void;
  /** Calls back for each of these signals, in place of what the process would do by itself; returns how to stop. */
  readonly onSignal: (listener: (signal: Signal) => void) => () => void;
  /** Calls back once nobody reads standard output any more (`| head`); returns how to stop. */
  readonly onReaderGone: (listener: () => void) => () => void;
  /** Calls back for errors that nobody caught, in place of the process's end; returns how to stop. */
  readonly onFatal: (listener: (error: unknown) => void) => () => void;
  readonly createLog: (options: LogOptions) => ProcessLog;
  readonly tokens: Tokens;
}

export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP";

/** `process.stdout` or `process.stderr`. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  /** Width of the terminal, in places of a letter. */
  readonly columns?: number | undefined;
}

/** `format` undefined: `pretty` on a terminal, otherwise `json`. */
export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "silent";
  readonly format: "json" | "pretty" | undefined;
  /** Name of the deployment, in lines of JSON. */
  readonly environment?: string;
}

/** The log of the process, on standard error. */
export interface ProcessLog extends Log {
  /** Writes what is still in memory. */
  flush(): void;
}

/** How tokens are derived (`actors/token.ts`), as far as commands use it. */
export interface Tokens {
  /** The `slk_` token of a licence key. */
  license(key: string): string;
  /** The `sgd_` token of a personal access token; undefined when it is none. */
  pat(token: string): string | undefined;
}

/** Writes `text` and the end of a line. */
export function line(output: Output, text = ""): void {
  output.write(`${text}\n`);
}

/** Writes `value` as one line of JSON. */
export function json(output: Output, value: unknown): void {
  line(output, JSON.stringify(value));
}

/** Whether `output` is a terminal whose reader wants colour: https://no-color.org */
export function hasColor(output: Output, env: Io["env"]): boolean {
  return output.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

/** `error: …` on standard error, in red where there is colour. */
export function complain(io: Pick<Io, "env" | "stderr">, text: string): void {
  const word = hasColor(io.stderr, io.env) ? "\u001b[31merror:\u001b[0m" : "error:";
  line(io.stderr, `${word} ${text}`);
}
