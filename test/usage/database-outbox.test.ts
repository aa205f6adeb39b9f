import { describe, expect, it } from "vitest";
import { openDatabase } from "../../src/lib/database.js";
import { createJournalQuotaStore } from "../../src/quota/journal-store.js";
import { createDatabaseOutbox, type DatabaseOutboxOptions } from "../../src/usage/database-outbox.js";
import type { UsageEvent } from "../../src/usage/event.js";
import type { ParkedEvent } from "../../src/usage/outbox.js";
import { describeOutbox, type OutboxUnderTest, useOutbox } from "../contract/outbox.js";
import { units } from "../contract/quota-store-actor.js";
import { makeEvent } from "../contract/sink.js";
import { copyDatabase, dataDir, mayMount, smallDisk } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { recordingLog } from "../helpers/log.js";
import { until } from "../helpers/redis.js";
import { untilWritable } from "../helpers/until-writable.js";

/** A quota store and its outbox on the database in `dir`. */
async function openOn(
  dir: string,
  { sinks = ["one"], ...options }: DatabaseOutboxOptions & { sinks?: readonly string[] } = {},
) {
  const log = recordingLog();
  const clock = fakeClock();
  const database = await openDatabase(dir, { retryMs: 20 });
  const store = await createJournalQuotaStore({ clock, database, log });
  const outbox = await createDatabaseOutbox({ database, log }, sinks, { pollMs: 20, ...options });
  return {
    log,
    clock,
    database,
    store,
    outbox,
    async [Symbol.asyncDispose]() {
      await outbox.close();
      await store.close();
      await database.close();
    },
  };
}

async function underTest(dir: string, options: Parameters<typeof openOn>[1]): Promise<OutboxUnderTest> {
  const open = await openOn(dir, options);
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= open[Symbol.asyncDispose]());
  return {
    outbox: open.outbox,
    async parked() {
      const rows = await open.database.read<{ sink: string; why: string; event: string }>(
        "select sink, why, event from outbox_parked order by id",
      );
      return rows.map(({ event, ...rest }): ParkedEvent => ({ ...rest, event: JSON.parse(event) as UsageEvent }));
    },
    async reopened() {
      await close();
      return underTest(dir, options);
    },
    [Symbol.asyncDispose]: close,
  };
}

describeOutbox("a database", async (options) => {
  const dir = await dataDir();
  const made = await underTest(dir.path, options);
  return {
    ...made,
    async [Symbol.asyncDispose]() {
      await made[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
});

const start = { id: "", time: "2026-11-24T00:00:00.000Z", actor: { id: "a", source: "test" }, feature: "embeddings" };

describe("an outbox on a database that a quota store writes to", () => {
  it("holds one event for each request that was admitted, also after the process has died", async () => {
    await using dir = await dataDir();
    const events: UsageEvent[] = [];
    const drain = async (outbox: Awaited<ReturnType<typeof openOn>>["outbox"]) => {
      for (let batch = await outbox.read("one", 2); batch; batch = await outbox.read("one", 2)) {
        events.push(...batch.events);
        await batch.acknowledge();
      }
    };
    await using first = await openOn(dir.path);
    const { store } = first;
    const call = (requestId: string) => ({ requestId, actor: "test:a", deadlineAt: Infinity });
    const outcome = (id: string) => JSON.stringify(makeEvent({ id }));
    for (const id of ["finished", "refunded", "canceled", "left", "left at the upstream"])
      await store.reserve({ ...call(id), rules: [units(10)], intent: JSON.stringify({ ...start, id }) });
    await store.commit({ ...call("finished"), used: {}, outcome: outcome("finished") });
    await drain(first.outbox);
    await store.refund({ ...call("refunded"), outcome: outcome("refunded") });
    await store.refund({ ...call("canceled"), outcome: "" });
    for (const _ of [1, 2]) await store.refund({ ...call("unknown"), outcome: outcome("unknown") });
    await store.renew([{ requestId: "left at the upstream", actor: "test:a", reached: true }]);

    // What the end of the process at this moment leaves.
    await using copy = await copyDatabase(dir.path);
    await using next = await openOn(copy.path);
    await drain(next.outbox);
    await next.clock.advanceMs(31_000);
    await next.store.reap(10);
    await drain(next.outbox);

    const abandoned = { ...start, outcome: "abandoned", usage: {}, durationMs: 0, upstreamMs: 0 };
    expect(events).toEqual([
      ...["finished", "refunded", "unknown"].map((id) => makeEvent({ id })),
      { ...abandoned, id: "left", charged: false },
      { ...abandoned, id: "left at the upstream", charged: true },
    ]);
    await until(async () => (await next.outbox.stored(), next.outbox.waiting() === 0));
    expect(await next.database.read("select * from outbox")).toEqual([]);
  });

  it("passes over what cannot be read, and says so", async () => {
    await using dir = await dataDir();
    await using open = await openOn(dir.path);
    const { append, drain, lost } = useOutbox(open.outbox);
    await open.database.write([{ sql: "insert into outbox(kind, entry) values('event', '{')" }]);
    await append("good");
    expect(await drain("one")).toEqual(["good"]);
    expect(lost).toEqual({ one: 1 });
    expect(open.log.lines).toMatchObject([
      { level: "error", message: "usage event cannot be read", fields: { id: 1 } },
    ]);
  });

  it("owes a sink that is new only what is still there", async () => {
    await using dir = await dataDir();
    const first = await openOn(dir.path, { sinks: ["one"] });
    const { append, read, drain } = useOutbox(first.outbox);
    await append(1, 2, 3);
    await drain("one");
    await append(4, 5);
    await (await read("one", 1)).ack();
    await first[Symbol.asyncDispose]();

    await using second = await openOn(dir.path, { sinks: ["one", "new"] });
    const used = useOutbox(second.outbox);
    await second.outbox.stored();
    expect(["one", "new"].map((sink) => second.outbox.waiting(sink))).toEqual([1, 1]);
    expect(await used.drain("new")).toEqual(["5"]);
    expect(await used.drain("one")).toEqual(["5"]);
  });

  it.runIf(mayMount)(
    "keeps in memory what a full disk does not take, delivers nothing it could not mark, and goes on",
    async () => {
      await using disk = await smallDisk();
      await using open = await openOn(disk.path, { maxBuffered: 10 });
      const { outbox } = open;
      const { append, read, drain, lost } = useOutbox(outbox);
      await append("before");
      await disk.fill();
      const full = untilWritable(open.database, false);
      for (let i = 0; i < 15; i++) outbox.append(makeEvent({ id: `${i}`, model: "x".repeat(10_000) }));
      await full;
      await until(async () => lost["one"] === 5);
      await expect(read("one")).rejects.toThrow();

      const free = untilWritable(open.database);
      await disk.free();
      await free;
      await outbox.stored();
      expect(await drain("one")).toEqual(["before", ...Array.from({ length: 10 }, (_, i) => `${i}`)]);
      expect(lost).toEqual({ one: 5 });
    },
  );
});
