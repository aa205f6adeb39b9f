// A fresh checkout in a directory of its own, in which the commands of a document run as a reader runs them.

import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

/** What a start needs, as `npm test` has just built it; `npm install` is a link to what is installed here. */
const parts = ["package.json", "proto", "dist"];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that goes on. */
export interface Running {
  readonly ended: Promise<Ended>;
  /** Resolves with all that it wrote so far once `text` is in it; rejects when the command ends before. */
  wrote(text: string): Promise<string>;
  /** Signals the command and what it started. */
  signal(signal: NodeJS.Signals): void;
}

export interface Checkout {
  readonly directory: string;
  write(file: string, text: string): void;
  /** Starts a script of bash that ends at the first command that fails. */
  start(script: string, env?: Readonly<Record<string, string>>): Running;
  run(script: string, env?: Readonly<Record<string, string>>): Promise<Ended>;
  remove(): void;
}

export function createCheckout(): Checkout {
  const directory = mkdtempSync(join(tmpdir(), "cody-gateway-docs-"));
  for (const part of parts) cpSync(join(root, part), join(directory, part), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  // What is built from the same sources again is the same, and would take longer than everything else.
  const manifest = join(directory, "package.json");
  const given = JSON.parse(readFileSync(manifest, "utf8")) as { scripts: object };
  writeFileSync(manifest, JSON.stringify({ ...given, scripts: { ...given.scripts, build: "test -d dist" } }));
  const start: Checkout["start"] = (script, env = {}) => {
    const { PATH = "", HOME = directory } = process.env;
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
      cwd: directory,
      // Of the environment only this: keys of who runs the tests are not for the documents' commands.
      env: { PATH, HOME, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    return watch(child);
  };
  return {
    directory,
    write: (file, text) => writeFileSync(join(directory, file), text),
    start,
    run: (script, env) => start(script, env).ended,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function watch(child: ReturnType<typeof spawn>): Running {
  let stdout = "";
  let stderr = "";
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return {
    ended,
    wrote: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if ((stdout + stderr).includes(text)) resolve(stdout + stderr);
        };
        child.stdout?.on("data", look);
        child.stderr?.on("data", look);
        child.once("close", () => reject(new Error(`ended without ${JSON.stringify(text)}:\n${stdout}${stderr}`)));
        look();
      }),
    signal(signal) {
      if (child.pid === undefined || child.exitCode !== null) return;
      process.kill(-child.pid, signal);
    },
  };
}
