#!/usr/bin/env node
// The process: arguments, environment, signals, exit codes.

import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { licenseToken, patToken } from "./actors/token.js";
import { exitCodes } from "./cli/exit-codes.js";
import { complain, hasColor, type Io, type Signal } from "./cli/io.js";
import { run } from "./cli/run.js";
import { createLog } from "./telemetry/log.js";

const signals: readonly Signal[] = ["SIGTERM", "SIGINT", "SIGHUP"];

/** How often the configuration file is looked at. Asked by its path: mounted files change by being replaced. */
const watchMs = 1_000;

/** How long the process waits for what still holds it, once its work is done. */
const lingerMs = 1_000;

const readerGone = new Set<() => void>();

const io: Io = {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  version: readVersion(),
  readFile: (path) => readFileSync(path === "-" ? 0 : path, "utf8"),
  watchFile(path, onChange) {
    const listener = (): void => onChange();
    watchFile(path, { interval: watchMs, persistent: false }, listener);
    return () => unwatchFile(path, listener);
  },
  onSignal(listener) {
    for (const signal of signals) process.on(signal, listener as NodeJS.SignalsListener);
    return () => {
      for (const signal of signals) process.off(signal, listener as NodeJS.SignalsListener);
    };
  },
  onReaderGone(listener) {
    readerGone.add(listener);
    return () => void readerGone.delete(listener);
  },
  onFatal(listener) {
    process.on("uncaughtException", listener);
    process.on("unhandledRejection", listener);
    return () => {
      process.off("uncaughtException", listener);
      process.off("unhandledRejection", listener);
    };
  },
  createLog: ({ level, format, environment }) =>
    createLog({
      level,
      format: format ?? (process.stderr.isTTY ? "pretty" : "json"),
      ...(environment !== undefined && { environment }),
      color: hasColor(process.stderr, process.env),
    }),
  tokens: { license: licenseToken, pat: patToken },
};

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") {
    complain(io, `standard output cannot be written: ${error.message}`);
    process.exit(exitCodes.failed);
  }
  for (const listener of readerGone) listener();
});

try {
  process.exitCode = await run(process.argv.slice(2), io);
} catch (error) {
  complain(io, error instanceof Error ? error.message : String(error));
  process.exitCode = exitCodes.failed;
}
setTimeout(() => process.exit(), lingerMs).unref();

/** Of the package this file is in: beside `src` when run from the sources, further up when compiled. */
function readVersion(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as Record<
        string,
        unknown
      >;
      if (name === "cody-gateway" && typeof version === "string") return version;
    } catch {
      // Not there: look further up.
    }
  }
  return "unknown";
}
