// Data directories, and what can happen to them.

import { execFileSync } from "node:child_process";
import { copyFile, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface DataDir extends AsyncDisposable {
  readonly path: string;
}

/** An empty directory, removed at the end. */
export async function dataDir(): Promise<DataDir> {
  const path = await mkdtemp(join(tmpdir(), "cody-data-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A copy of the files of a database that is in use, as the end of its process at this moment would leave them. */
export async function copyDatabase(from: string): Promise<DataDir> {
  const copy = await dataDir();
  for (const file of databaseFiles) await copyFile(join(from, file), join(copy.path, file));
  return copy;
}

const databaseFiles = ["gateway.db", "gateway.db-wal"];

/** The bytes of the log beside the database. */
export function readWal(dir: string): Promise<Buffer> {
  return readFile(join(dir, "gateway.db-wal"));
}

export function writeWal(dir: string, bytes: Uint8Array): Promise<void> {
  return writeFile(join(dir, "gateway.db-wal"), bytes);
}

/** Only root may mount file systems. */
export const mayMount = process.getuid?.() === 0;

export interface SmallDisk extends DataDir {
  /** Leaves no byte free, whatever is freed meanwhile. */
  fill(): Promise<void>;
  free(): Promise<void>;
}

/** A directory on a disk of 4 MB of its own. */
export async function smallDisk(): Promise<SmallDisk> {
  const { path, ...dir } = await dataDir();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", path]);
  const filler = join(path, "filler");
  return {
    path,
    async fill() {
      const file = await open(filler, "a");
      try {
        // In pages, the size in which such a disk gives out its room.
        for (;;) await file.write(Buffer.alloc(4_096));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      } finally {
        await file.close();
      }
    },
    free: () => rm(filler),
    async [Symbol.asyncDispose]() {
      execFileSync("umount", ["--lazy", path]);
      await dir[Symbol.asyncDispose]();
    },
  };
}
