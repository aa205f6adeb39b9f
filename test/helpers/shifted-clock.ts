import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ensureProgram } from "./debian.js";

/** The environment of a process whose clock is off by so much: `+90m`, `-90m`. Its timers go right. */
export async function shiftedClock(by: string): Promise<Readonly<Record<string, string>>> {
  await ensureProgram("faketime", "faketime");
  return { LD_PRELOAD: await library(), FAKETIME: by, FAKETIME_DONT_FAKE_MONOTONIC: "1" };
}

/** For processes with threads. It is in a folder named after the machine's kind. */
async function library(): Promise<string> {
  for (const kind of await readdir("/usr/lib")) {
    const folder = join("/usr/lib", kind, "faketime");
    const files: readonly string[] = await readdir(folder).catch(() => []);
    if (files.includes("libfaketimeMT.so.1")) return join(folder, "libfaketimeMT.so.1");
  }
  throw new Error("libfaketime is needed and not there: install it (Debian: apt-get install faketime)");
}
