// What the kernel says of processes and the machine, read from /proc.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

// Linux reports these times in hundredths of a second on every architecture Node runs on.
const usPerTick = 10_000;

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The process is gone.
    return undefined;
  }
}

/** CPU time of a process's threads so far, in microseconds, as the scheduler counts it: in nanoseconds. */
export function processCpuUs(pid: number): number {
  let ns = 0;
  for (const task of tasks(pid)) ns += Number(read(`/proc/${pid}/task/${task}/schedstat`)?.split(" ")[0] ?? 0);
  return ns / 1000;
}

/** The same in ticks, with what its ended children used: for telling own use of the machine from others'. */
function processAndChildrenUs(pid: number): number {
  const fields = read(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /, "")
    .split(" ")
    .map(Number);
  if (!fields) return 0;
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  return (user + system + childUser + childSystem) * usPerTick;
}

function tasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The process's children that are alive. */
export function childrenOf(pid: number): number[] {
  return tasks(pid).flatMap((task) =>
    (read(`/proc/${pid}/task/${task}/children`) ?? "").trim().split(" ").filter(Boolean).map(Number),
  );
}

/** The process, its children, theirs and so on. */
export function treeOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)];
}

/** The largest resident size since the last reset, in bytes. */
export function peakRssBytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1] ?? 0) * 1024;
}

/** The resident size now, in bytes. */
export function rssBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1] ?? 0) * 1024;
}

/** Forgets the largest resident size so far. */
export function resetPeakRss(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Not permitted everywhere; then peaks are those since the start.
  }
}

/** CPU time that processes other than this one and its descendants use, as a share of one core, while `work` runs. */
export async function foreignShare<T>(work: () => Promise<T>): Promise<{ result: T; share: number }> {
  const before = snapshot();
  const result = await work();
  const after = snapshot();
  const foreign = after.machineUs - before.machineUs - (after.ownUs - before.ownUs);
  return { result, share: Math.max(0, foreign) / (after.atUs - before.atUs) };
}

function snapshot(): { machineUs: number; ownUs: number; atUs: number } {
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = (read("/proc/stat")?.split("\n")[0] ?? "")
    .replace(/^cpu\s+/, "")
    .split(" ")
    .map(Number);
  return {
    machineUs: (user + nice + system + steal) * usPerTick,
    ownUs: treeOf(process.pid).reduce((sum, pid) => sum + processAndChildrenUs(pid), 0),
    atUs: performance.now() * 1000,
  };
}

/** Time that a core was busy so far, interrupts included, in microseconds. */
export function coreBusyUs(core: number): number {
  const line = read("/proc/stat")?.match(new RegExp(`^cpu${core} (.*)$`, "m"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(" ").map(Number);
  return (user + nice + system + irq + softirq + steal) * usPerTick;
}

/** The machine in a few words, for reports. */
export function machineText(): string {
  const gib = Math.round(totalmem() / 1024 ** 3);
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${gib} GiB, Node ${process.versions.node}`;
}
