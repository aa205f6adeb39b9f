// Programs that tests run, from the machine or from Debian's packages.

import { execFile } from "node:child_process";
import { access, mkdir, rmdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * The path of `program`. Where it is missing, `debianPackage` is installed, as root on Debian; anywhere else this rejects
 * with what to install. Processes that ask at the same time install once.
 */
export async function ensureProgram(program: string, debianPackage: string): Promise<string> {
  const present = await findProgram(program);
  if (present !== undefined) return present;
  if (process.getuid?.() !== 0 || (await findProgram("apt-get")) === undefined)
    throw new Error(`${program} is needed and not there: install it (Debian: apt-get install ${debianPackage})`);
  return withLock(join(tmpdir(), "cody-gateway-apt.lock"), async () => {
    const meanwhile = await findProgram(program);
    if (meanwhile !== undefined) return meanwhile;
    await install(debianPackage);
    const installed = await findProgram(program);
    if (installed === undefined) throw new Error(`${program} is still missing after installing ${debianPackage}`);
    return installed;
  });
}

/** The full path of a program, if there is one. */
export async function findProgram(program: string): Promise<string | undefined> {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"]) {
    const path = join(folder, program);
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

async function install(debianPackage: string): Promise<void> {
  // Packages of servers start them: RUNLEVEL tells them not to.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const options = ["-o", "DPkg::Lock::Timeout=120"];
  try {
    await run("apt-get", [...options, "update"], { env });
    await run("apt-get", [...options, "install", "-y", "--no-install-recommends", debianPackage], { env });
  } catch (cause) {
    throw new Error(`could not install ${debianPackage}: install it by hand`, { cause });
  }
}

const staleMs = 300_000;

/** Does `work` while no other process does any under this lock: a folder, which only one can make. */
async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  while (!(await takeLock(path))) await sleep(200);
  try {
    return await work();
  } finally {
    await rmdir(path).catch(() => undefined);
  }
}

async function takeLock(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    // Left behind by a process that was killed.
    const made = await stat(path).catch(() => undefined);
    if (made !== undefined && Date.now() - made.mtimeMs > staleMs) await rmdir(path).catch(() => undefined);
    return false;
  }
}
