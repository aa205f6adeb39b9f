import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/lib/database.js";
import { copyDatabase, dataDir, mayMount, readWal, smallDisk, writeWal } from "../helpers/data-dir.js";
import { processFile } from "../helpers/process-files.js";
import { untilWritable } from "../helpers/until-writable.js";

const tables = ["create table numbers(n integer primary key, note text)"];

async function openTest(dir: string, options: Parameters<typeof openDatabase>[1] = {}): Promise<Database> {
  const database = await openDatabase(dir, options);
  await database.migrate("test", tables);
  return database;
}

const insert = (n: number, note: string | null = null) => ({
  sql: "insert into numbers values(?, ?)",
  params: [n, note],
});

async function numbersIn(database: Database): Promise<number[]> {
  return (await database.read<{ n: number }>("select n from numbers order by n")).map(({ n }) => n);
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, n) => n);

describe("a database", () => {
  it("has after a restart what was written before", async () => {
    await using dir = await dataDir();
    const before = await openTest(dir.path);
    await before.write([insert(1, "one"), insert(2)]);
    await before.close();
    const after = await openTest(dir.path);
    expect(await after.read("select * from numbers where n >= ? order by n", [1])).toEqual([
      { n: 1, note: "one" },
      { n: 2, note: null },
    ]);
    await after.close();
  });

  it("keeps every kind of value as it was", async () => {
    await using dir = await dataDir();
    const database = await openDatabase(dir.path);
    await database.migrate("kinds", ["create table kinds(a any, b any, c any, d any, e integer) strict"]);
    const values = ["text 'quoted' \u{1f600}", 0.25, null, new Uint8Array([0, 255]), Number.MAX_SAFE_INTEGER];
    await database.write([{ sql: "insert into kinds values(?, ?, ?, ?, ?)", params: values }]);
    const [row] = await database.read<Record<string, unknown>>("select * from kinds");
    expect(row && [row.a, row.b, row.c, new Uint8Array(row.d as Uint8Array), row.e]).toEqual(values);
    await database.close();
  });

  it("does all statements of a write or none, and refuses a wrong one alone", async () => {
    await using dir = await dataDir();
    const database = await openTest(dir.path);
    const outcomes = await Promise.allSettled([
      database.write([insert(1)]),
      database.write([insert(2), insert(1)]),
      database.write([insert(3)]),
      database.write([{ sql: "insert into nothing values(1)" }, insert(4)]),
      database.write([insert(5)]),
    ]);
    expect(outcomes.map((each) => (each.status === "rejected" ? each.reason : "written"))).toMatchObject([
      "written",
      { name: "SqlError", code: "SQLITE_CONSTRAINT_PRIMARYKEY" },
      "written",
      { name: "SqlError", code: "SQLITE_ERROR" },
      "written",
    ]);
    expect(await numbersIn(database)).toEqual([1, 3, 5]);
    expect(database.failure).toBeUndefined();
    await database.close();
  });

  it("writes what is handed over before it is closed, and nothing after", async () => {
    await using dir = await dataDir();
    const database = await openTest(dir.path);
    const written = upTo(500).map((n) => database.write([insert(n)]));
    const closed = database.close();
    await expect(database.write([insert(1_000)])).rejects.toMatchObject({ name: "DatabaseAwayError" });
    await Promise.all([...written, closed]);
    const again = await openTest(dir.path);
    expect(await numbersIn(again)).toEqual(upTo(500));
    await again.close();
  });

  it("is for its owner's eyes, in a directory it makes", async () => {
    await using dir = await dataDir();
    const path = join(dir.path, "new", "data");
    const database = await openTest(path);
    const modes = await Promise.all(["", ...(await readdir(path))].map(async (file) => stat(join(path, file))));
    expect(modes.map(({ mode }) => (mode & 0o777).toString(8))).toEqual(["700", "600", "600"]);
    await database.close();
  });
});

describe("tables of a part", () => {
  it("are brought up to date version by version, once", async () => {
    await using dir = await dataDir();
    const first = await openTest(dir.path);
    await first.write([insert(1)]);
    await first.close();
    const versions = [
      ...tables,
      "alter table numbers add column size integer not null default 7; create table more(x)",
    ];
    for (let i = 0; i < 2; i++) {
      const next = await openDatabase(dir.path);
      await next.migrate("test", versions);
      await next.migrate("other part", ["create table others(x)"]);
      expect(await next.read("select n, size, (select count(*) from more) as more from numbers")).toEqual([
        { n: 1, size: 7, more: 0 },
      ]);
      await next.close();
    }
  });

  it("of a later version are refused, in words for an operator", async () => {
    await using dir = await dataDir();
    const database = await openDatabase(dir.path);
    await database.migrate("test", [...tables, "create table more(x)"]);
    await expect(database.migrate("test", tables)).rejects.toMatchObject({
      name: "DatabaseUnusableError",
      message: expect.stringMatching(/gateway\.db was written by a newer version .*: start that version/),
    });
    await database.close();
  });

  it("stay as they were when a version does not succeed", async () => {
    await using dir = await dataDir();
    const database = await openTest(dir.path);
    await expect(database.migrate("test", [...tables, "create table more(x); wrong"])).rejects.toThrow("syntax error");
    await database.migrate("test", [...tables, "create table more(x)"]);
    await database.close();
  });
});

describe("a database that cannot be used", () => {
  it("is refused to a second process, until the first is done with it", async () => {
    await using dir = await dataDir();
    const first = await openTest(dir.path);
    await expect(openDatabase(dir.path)).rejects.toMatchObject({
      name: "DatabaseUnusableError",
      message: expect.stringMatching(/gateway\.db is in use by another process: stop that process, or give this one/),
    });
    await first.write([insert(1)]);
    await first.close();
    await (await openTest(dir.path)).close();
  });

  it("is refused when it is no database, and left as it is", async () => {
    await using dir = await dataDir();
    const file = join(dir.path, "gateway.db");
    const bytes = Buffer.from("something else entirely ".repeat(1_000));
    await writeFile(file, bytes);
    await expect(openDatabase(dir.path)).rejects.toMatchObject({
      name: "DatabaseUnusableError",
      message: expect.stringMatching(
        /gateway\.db is damaged or no database: restore it from a backup, or move it away/,
      ),
    });
    expect(await readFile(file)).toEqual(bytes);
  });

  it("is refused when another program wrote it", async () => {
    await using dir = await dataDir();
    const database = await openTest(dir.path);
    await database.close();
    // Byte 68 of a database's file is where its application id stands.
    const file = join(dir.path, "gateway.db");
    const bytes = await readFile(file);
    bytes.writeUInt32BE(7, 68);
    await writeFile(file, bytes);
    await expect(openDatabase(dir.path)).rejects.toThrow(/belongs to another program/);
  });

  it("is refused when the directory is none", async () => {
    await using dir = await dataDir();
    const file = join(dir.path, "file");
    await writeFile(file, "");
    await expect(openDatabase(file)).rejects.toThrow(/the data directory .*file must be a directory that this process/);
    await mkdir(join(dir.path, "gateway.db"));
    await expect(openDatabase(dir.path)).rejects.toMatchObject({ name: "DatabaseUnusableError" });
  });

  it("says so when a damaged page is read", async () => {
    await using dir = await dataDir();
    const before = await openTest(dir.path);
    await before.write(upTo(2_000).map((n) => insert(n, "x".repeat(100))));
    await before.close();
    const file = join(dir.path, "gateway.db");
    const bytes = await readFile(file);
    bytes.fill(0xa5, 5 * 4_096);
    await writeFile(file, bytes);
    const after = await openTest(dir.path);
    await expect(numbersIn(after)).rejects.toMatchObject({ name: "DatabaseUnusableError" });
    await after.close();
  });
});

describe("a database after a sudden end", () => {
  it("has all that was written, when its process was killed in the middle of writing", async () => {
    await using dir = await dataDir();
    for (let round = 0; round < 2; round++) {
      const at = join(dir.path, String(round));
      const child = fork(processFile("database-child"), [at], { execArgv: [] });
      const told: number[] = [];
      await new Promise<void>((resolve) => {
        child.on("message", (n: number) => told.push(n) >= 2_000 && resolve());
      });
      child.kill("SIGKILL");
      await once(child, "close");
      const database = await openDatabase(at);
      const found = new Set(await numbersIn(database));
      expect(told.filter((n) => !found.has(n))).toEqual([]);
      await database.close();
    }
  });

  it.each([
    ["cut", (wal: Buffer) => wal.subarray(0, wal.length - 5_000)],
    ["overwritten", (wal: Buffer) => wal.fill(0x5a, wal.length - 5_000)],
    ["lost", () => Buffer.alloc(0)],
  ])("starts and has what came before, when the end of its log is %s", async (_, damage) => {
    await using dir = await dataDir();
    const database = await openTest(dir.path);
    for (const n of upTo(50)) await database.write([insert(n, "x".repeat(3_000))]);
    await using copy = await copyDatabase(dir.path);
    await database.close();
    await writeWal(copy.path, damage(await readWal(copy.path)));
    const after = await openTest(copy.path);
    const found = await numbersIn(after);
    expect(found).toEqual(upTo(found.length));
    expect(found.length).toBeLessThan(50);
    await after.write([insert(1_000)]);
    expect((await numbersIn(after)).at(-1)).toBe(1_000);
    await after.close();
  });

  it("goes on with a new thread when its thread has ended", async () => {
    await using dir = await dataDir();
    const started = once(process, "worker");
    const database = await openTest(dir.path, { retryMs: 10 });
    await database.write([insert(1)]);
    const [away, back] = [untilWritable(database, false), untilWritable(database)];
    await ((await started)[0] as Worker).terminate();
    await away;
    await expect(database.write([insert(2)])).rejects.toMatchObject({ name: "DatabaseAwayError" });
    await back;
    await database.write([insert(3)]);
    expect(await numbersIn(database)).toEqual([1, 3]);
    await database.close();
  });
});

describe("a database whose disk does not answer", () => {
  it("refuses what comes, and settles what is under way once it answers", async () => {
    await using dir = await dataDir();
    const database = await openTest(dir.path, { stallMs: 20, retryMs: 5 });
    const [away, back] = [untilWritable(database, false), untilWritable(database)];
    // As good as a disk that is slow: the thread is at it for long.
    const slow = database.write([
      {
        sql: "with recursive c(n) as (select 0 union all select n + 1 from c where n < ?) insert into numbers select max(n), '' from c",
        params: [1_500_000],
      },
    ]);
    const next = database.write([insert(1)]).catch((error: unknown) => error);
    await away;
    expect(await next).toBe(database.failure);
    await expect(database.write([insert(2)])).rejects.toMatchObject({ name: "DatabaseAwayError" });
    await Promise.all([slow, back]);
    await database.write([insert(3)]);
    expect(await numbersIn(database)).toEqual([3, 1_500_000]);
    await database.close();
  });
});

describe.runIf(mayMount)("a database on a full disk", () => {
  it("refuses writes at once, says so, and goes on by itself when there is room again", async () => {
    await using disk = await smallDisk();
    const database = await openTest(disk.path, { retryMs: 20 });
    await database.write([insert(0)]);
    await disk.fill();
    const away = untilWritable(database, false);
    const refused: number[] = [];
    let n = 1;
    while (database.failure === undefined) {
      const number = n++;
      await database.write([insert(number, "x".repeat(20_000))]).catch((error: unknown) => {
        expect(error).toMatchObject({ name: "DatabaseAwayError", cause: { code: "SQLITE_FULL" } });
        refused.push(number);
      });
    }
    await away;
    await expect(database.write([insert(n)])).rejects.toBe(database.failure);
    expect(await numbersIn(database)).toEqual(upTo(n - 1));

    const back = untilWritable(database);
    await disk.free();
    await back;
    await database.write([insert(n)]);
    expect(await numbersIn(database)).toEqual([...upTo(n - 1), n]);
    expect(refused).toEqual([n - 1]);
    await database.close();
  });
});
