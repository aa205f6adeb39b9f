// What can happen to a quota store on disk: its process is killed, its last write is torn, its disk is full.

import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/lib/clock.js";
import { type Database, openDatabase } from "../../src/lib/database.js";
import { createJournalQuotaStore } from "../../src/quota/journal-store.js";
import { slots, testActor, units } from "../contract/quota-store-actor.js";
import { copyDatabase, dataDir, mayMount, readWal, smallDisk, writeWal } from "../helpers/data-dir.js";
import { journalStore } from "../helpers/journal-store.js";
import { silentLog } from "../helpers/log.js";
import { processFile } from "../helpers/process-files.js";
import { untilWritable } from "../helpers/until-writable.js";
import type { ChildReport } from "./journal-child.js";

const unavailable = { name: "UnavailableError", reason: "QUOTA_STORE_UNAVAILABLE" };

/** Runs requests in a process of its own and kills it in the middle; returns what it had been told by then. */
async function killedUnderLoad(dir: string, reports: number): Promise<Record<ChildReport["kind"], Set<string>>> {
  const child = fork(processFile("journal-child"), [dir], { execArgv: [] });
  const told = { admitted: new Set<string>(), committed: new Set<string>(), refunded: new Set<string>() };
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the process ended with ${code}`)));
    child.on("message", ({ kind, requestId }: ChildReport) => {
      told[kind].add(requestId);
      if (++count >= reports) resolve();
    });
  });
  child.kill("SIGKILL");
  await once(child, "close");
  return told;
}

describe("a quota store whose process was killed", () => {
  it("has all that was told, charged once, and ends what was under way with its lease", async () => {
    await using dir = await dataDir();
    const told = await killedUnderLoad(dir.path, 3_000);
    const database = await openDatabase(dir.path);
    let aheadMs = 0;
    const clock = { now: () => systemClock.now() + aheadMs };
    const store = await createJournalQuotaStore({ clock, database, log: silentLog });
    const rules = [units(1_000_000), slots(100)];
    const usage = async () => (await store.usage("test:killed", rules)).map(({ used, held }) => ({ used, held }));

    const finished = await outboxOf(database, "finished");
    const refunded = await outboxOf(database, "refunded");
    const live = (await usage())[0]?.held ?? Number.NaN;
    expect(live).toBeLessThanOrEqual(20);
    expect(await usage()).toEqual([
      { used: finished.length + live, held: live },
      { used: live, held: live },
    ]);

    aheadMs = 30_000;
    const abandoned = await store.reap(1_000);
    const charged = abandoned.filter((hold) => hold.charged).length;
    expect(await usage()).toEqual([
      { used: finished.length + charged, held: 0 },
      { used: 0, held: 0 },
    ]);
    // Each has one end, and of those whose end was told it is that one.
    const ended = [...finished, ...refunded, ...abandoned.map(({ requestId }) => requestId)];
    expect(new Set(ended).size).toBe(ended.length);
    const missing = (all: readonly string[], some: ReadonlySet<string>): string[] =>
      [...some].filter((id) => !all.includes(id));
    expect(missing(ended, told.admitted)).toEqual([]);
    expect(missing(finished, told.committed)).toEqual([]);
    expect(missing(refunded, told.refunded)).toEqual([]);
    await store.close();
    await database.close();
  });
});

describe("a quota store whose last writes are torn", () => {
  it.each([
    ["cut", (wal: Buffer) => wal.subarray(0, wal.length - 7_000)],
    ["overwritten", (wal: Buffer) => wal.fill(0x5a, wal.length - 7_000)],
  ])("goes on from what came before: %s", async (_, damage) => {
    await using before = await journalStore();
    const actor = await testActor(async () => before);
    for (let i = 0; i < 40; i++) {
      await actor.hold([units(1_000)], `${i}`);
      const call = { requestId: `${i}`, actor: actor.actor, deadlineAt: Infinity };
      await before.store.commit({ ...call, used: {}, outcome: "finished" });
    }
    await using copy = await copyDatabase(before.path);
    await writeWal(copy.path, damage(await readWal(copy.path)));

    await using after = await journalStore({ dir: copy.path });
    const [state] = await after.store.usage(actor.actor, [units(1_000)]);
    const finished = await outboxOf(after.database, "finished");
    expect(finished).toEqual(Array.from({ length: finished.length }, (_, i) => `${i}`));
    expect(finished.length).toBeGreaterThan(20);
    expect(finished.length).toBeLessThan(40);
    const held = state?.held ?? 0;
    expect(held).toBeLessThanOrEqual(1);
    expect(state?.used).toBe(finished.length + held);
  });
});

describe.runIf(mayMount)("a quota store whose disk is full", () => {
  it("is away, keeps what is under way, and goes on when there is room again, charging nothing twice", async () => {
    await using disk = await smallDisk();
    await using journal = await journalStore({ dir: disk.path });
    const actor = await testActor(async () => journal);
    const rules = [units(1_000_000), slots(1_000)];
    const [open, early] = [await actor.hold(rules), await actor.hold(rules)];
    await actor.commit(early);

    await disk.fill();
    let admitted = 0;
    let failed: string | undefined;
    while (failed === undefined) {
      const requestId = `filling-${admitted}`;
      const outcome = await actor.reserve(rules, { requestId }).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        expect(outcome).toMatchObject(unavailable);
        failed = requestId;
      } else admitted++;
    }
    await expect(actor.reserve(rules)).rejects.toMatchObject(unavailable);
    await expect(actor.commit(open)).rejects.toMatchObject(unavailable);
    await expect(actor.refund(open)).rejects.toMatchObject(unavailable);
    await expect(journal.store.reap(10)).rejects.toMatchObject(unavailable);
    expect(await actor.used(units(1_000_000))).toBe(admitted + 3);

    // Renewals keep it from ending, though nobody can write them down.
    await journal.advance(20_000);
    for (const id of [open, failed]) await expect(actor.renew(id, true)).rejects.toMatchObject(unavailable);
    await journal.advance(20_000);

    const back = untilWritable(journal.database);
    await disk.free();
    await back;
    await journal.restart();
    expect(await actor.commit(open, { units: 5 })).toMatchObject({ kind: "settled" });
    expect(await actor.commit(failed)).toMatchObject({ kind: "settled" });
    expect(await actor.reserve(rules, { requestId: failed })).toMatchObject({ kind: "admitted" });
    // What filled the disk was not renewed: it ended, refunded.
    await journal.store.reap(10_000);
    const expected = [{ used: 1 + 5 + 1, held: 0 }, { used: 0 }];
    expect(await journal.store.usage(actor.actor, rules)).toMatchObject(expected);
    await journal.restart();
    expect(await journal.store.usage(actor.actor, rules)).toMatchObject(expected);
    expect((await outboxOf(journal.database, "abandoned")).toSorted()).toEqual(filling(admitted).toSorted());
  });

  it("tells of abandoned holds once there is room to write that they are", async () => {
    await using disk = await smallDisk();
    await using journal = await journalStore({ dir: disk.path });
    const actor = await testActor(async () => journal);
    for (const id of ["a", "b"]) await actor.hold([slots(5)], id);
    await journal.advance(30_000);
    await disk.fill();
    await expect(journal.store.reap(1)).rejects.toMatchObject(unavailable);
    const back = untilWritable(journal.database);
    await disk.free();
    await back;
    expect(await journal.store.reap(1)).toMatchObject([{ requestId: "a" }]);
    await journal.restart();
    expect(await journal.store.reap(10)).toMatchObject([{ requestId: "b" }]);
  });
});

function filling(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `filling-${i}`);
}

/** Whose entries of a kind there are, in order. */
async function outboxOf(database: Database, kind: string): Promise<string[]> {
  const rows = await database.read<{ entry: string }>("select entry from outbox where kind = ? order by id", [kind]);
  return rows.map(({ entry }) => (JSON.parse(entry) as { id: string }).id);
}
