// Processes that the bench starts, and ends again by their own ids.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { createServer, connect as dial } from "node:net";
import { cpus } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { find } from "../install.js";
import { childrenOf, peakRssBytes, processCpuUs, resetPeakRss, rssBytes, treeOf } from "./machine.js";

/** Which core a process is pinned to, where that is possible. */
export type Core = "measured" | "load";

/** A process that runs. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  /** CPU time so far, in microseconds, by its own clock where it has one, else by the kernel's. */
  cpuUs(): Promise<number>;
  /** Of the whole process tree. */
  rss(): number;
  peakRss(): number;
  resetPeakRss(): void;
  /** The end of what it printed. */
  log(): string;
  stop(): Promise<void>;
}

/** What to start. */
export interface Start {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly core: Core;
  readonly port: number;
  /** Where its output goes. */
  readonly folder: string;
  /** It is a Node process and tells its own CPU time. */
  readonly reports?: boolean;
  /** Its work is done by its children: nginx. */
  readonly byChildren?: boolean;
}

/** Which of the machine's cores they are. */
export const cores: Readonly<Record<Core, number>> = { measured: 0, load: 1 };
const reporter = pathToFileURL(join(import.meta.dirname, "../.build/bench/harness/report.js")).href;

const children = new Set<ChildProcess>();
// Whatever goes wrong, nothing that was started stays behind.
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

/** Has a child ended with this process at the latest. */
function mindChild<C extends ChildProcess>(child: C): C {
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

let profiles: string | undefined;

/** Has the Node processes started from now on write where their time went, into this folder. */
export function profileInto(folder: string): void {
  mkdirSync(folder, { recursive: true });
  profiles = folder;
}

/** Puts a command on its core, where the machine can. */
export function pinned(core: Core, command: string, args: readonly string[]): [string, string[]] {
  const taskset = find("taskset");
  // Not availableParallelism(): that counts the cores this process is pinned to itself.
  if (taskset === undefined || cpus().length < 2) return [command, [...args]];
  return [taskset, ["-c", String(cores[core]), command, ...args]];
}

/** Starts a process and waits until its port answers. */
export async function start(what: Start): Promise<Running> {
  const logFile = join(what.folder, `${what.name}.log`);
  const args = what.reports ? ["--import", reporter, ...what.args] : what.args;
  const [command, all] = pinned(what.core, what.command, args);
  // Straight into a file: reading logs would take time from the load.
  const output = openSync(logFile, "w");
  const child = spawn(command, all, {
    env: {
      ...process.env,
      ...what.env,
      ...(profiles !== undefined && { BENCH_PROFILE: join(profiles, `${what.name}.txt`) }),
    },
    cwd: what.folder,
    stdio: ["ignore", output, output, ...(what.reports ? ["ipc" as const] : [])],
  });
  closeSync(output);
  mindChild(child);
  const running = handle(what, child, logFile);
  try {
    await listening(what.port, child);
  } catch (error) {
    await running.stop();
    throw new Error(`${what.name} did not start: ${running.log()}`, { cause: error });
  }
  return running;
}

function sum(count: (pid: number) => number, pids: readonly number[]): number {
  return pids.reduce((total, one) => total + count(one), 0);
}

function handle(what: Start, child: ChildProcess, logFile: string): Running {
  const pid = child.pid as number;
  const measured = (): number[] => (what.byChildren ? childrenOf(pid) : [pid]);

  return {
    name: what.name,
    pid,
    port: what.port,
    cpuUs: async () => (what.reports ? ownClock(child) : sum(processCpuUs, measured())),
    rss: () => sum(rssBytes, treeOf(pid)),
    peakRss: () => sum(peakRssBytes, treeOf(pid)),
    resetPeakRss: () => treeOf(pid).forEach(resetPeakRss),
    log: () => tail(logFile),
    stop: () => stop(child),
  };
}

function tail(file: string): string {
  try {
    return readFileSync(file, "utf8").slice(-2000);
  } catch {
    return "";
  }
}

function ownClock(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("a measured process does not tell its CPU time")), 10_000);
    const listener = (message: unknown): void => {
      const usage = (message as { "bench:cpu"?: NodeJS.CpuUsage })["bench:cpu"];
      if (!usage) return;
      clearTimeout(timer);
      child.off("message", listener);
      resolve(usage.user + usage.system);
    };
    child.on("message", listener);
    child.send("bench:cpu");
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 2_000);
  await gone;
  clearTimeout(timer);
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  // Generous: a gateway with 100,000 actors in its file has something to read.
  for (const until = performance.now() + 90_000; performance.now() < until; ) {
    if (child.exitCode !== null) throw new Error(`exit code ${child.exitCode}`);
    if (await accepts(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** Whether something listens on the port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dial(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A port nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a program on the load's core to its end; its standard output. Ended after `timeoutMs`. */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; timeoutMs: number },
): Promise<string> {
  const [program, all] = pinned("load", command, args);
  return new Promise((resolve, reject) => {
    const child = spawn(program, all, { env: { ...process.env, ...options.env }, stdio: ["ignore", "pipe", "pipe"] });
    mindChild(child);
    let output = "";
    let complaints = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (complaints += chunk.toString()));
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else
        reject(
          new Error(`${command} ended with ${code ?? "a signal"}: ${complaints.slice(-1000)}${output.slice(-1000)}`),
        );
    });
  });
}
