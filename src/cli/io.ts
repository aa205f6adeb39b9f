/** What a command sees of the process. Passed in, so that tests run commands without one. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  /** The gateway's version, as `version` and `/-/__version` say it. */
  readonly version: string;
  /** Reads a text file, or standard input for `-`. Throws as `fs.readFileSync` does. */
  readFile(path: string): string;
  /** Calls `onChange` whenever the file at `path` is another one than before; returns how to stop. */
  watchFile(path: string, onChange: () => void): () => void;
  /** Calls back for each of these signals, in place of what the process would do by itself; returns how to stop. */
  onSignal(listener: (signal: Signal) => void): () => void;
  /** Calls back for errors that nobody caught, in place of the process's end. */
  onFatal(listener: (error: unknown) => void): void;
  createLog(options: LogOptions): Log;
  readonly tokens: Tokens;
}

export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP";

/** `process.stdout` or `process.stderr`. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** `format` undefined: `pretty` on a terminal, otherwise `json`. */
export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "silent";
  readonly format: "json" | "pretty" | undefined;
}

/** The log of `telemetry`, as far as commands use it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
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
