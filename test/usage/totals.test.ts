import { afterEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/lib/database.js";
import { createDatabaseTotals } from "../../src/usage/database-totals.js";
import { createMemoryTotals } from "../../src/usage/memory-totals.js";
import { createRedisTotals } from "../../src/usage/redis-totals.js";
import { createUsageTotals, type TotalsStore } from "../../src/usage/totals.js";
import { describeTotalsStore, sample } from "../contract/totals-store.js";
import { dataDir } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { silentLog } from "../helpers/log.js";
import { sharedRedis } from "../helpers/store-places.js";

describeTotalsStore("memory", async () => createMemoryTotals());

describe("in a data directory", () => {
  const open: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
  });

  async function openIn(dir: string, clock = fakeClock()) {
    const database = await openDatabase(dir);
    const store = await createDatabaseTotals({ database, clock });
    return { store, database, [Symbol.asyncDispose]: () => database.close() };
  }

  describeTotalsStore("a database", async () => {
    const dir = await dataDir();
    const opened = await openIn(dir.path, fakeClock());
    open.push(dir, opened);
    return opened.store;
  });

  it("are there after a restart, until their time is over", async () => {
    await using dir = await dataDir();
    const clock = fakeClock();
    {
      await using before = await openIn(dir.path, clock);
      await before.store.add([sample()]);
    }
    await using after = await openIn(dir.path, clock);
    await after.store.add([sample({ requests: 4 })]);
    const [window] = await after.store.read("static/acme", "chat_completions");
    expect(window?.models.get("anthropic/claude")).toMatchObject({ requests: 5, inputTokens: 20 });

    // Nine windows of a day.
    await clock.advanceMs(9 * 86_400_000 + 1);
    expect(await after.store.read("static/acme", "chat_completions")).toEqual([]);
    await after.store.add([sample({ actor: "static/other" })]);
    expect(await after.database.read("select actor from usage_totals")).toEqual([{ actor: '"static/other"' }]);
  });
});

describe("on Redis", () => {
  const on = sharedRedis("events");
  let made = 0;

  describeTotalsStore("Redis", async () => createRedisTotals({ redis: on.redis }, { prefix: `t${made++}:` }));

  it("forgets by itself: every key has an end", async () => {
    const store = createRedisTotals({ redis: on.redis }, { prefix: "ends:" });
    await store.add([sample()]);
    const keys = await on.server.client.keys("ends:*");

    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) expect(await on.server.client.pttl(key)).toBeGreaterThan(0);
  });
});

describe("usage totals", () => {
  it("write together what was used of one model, and read what was just added", async () => {
    const store = createMemoryTotals();
    const batches: number[] = [];
    const totals = createUsageTotals({
      store: {
        read: store.read,
        add(samples) {
          batches.push(samples.length);
          return store.add(samples);
        },
      },
      log: silentLog,
    });

    for (let i = 0; i < 100; i++) totals.add(sample());
    const [window] = await totals.read("static/acme", "chat_completions");

    expect(window?.models.get("anthropic/claude")).toMatchObject({ requests: 100, inputTokens: 1_000 });
    expect(batches).toEqual([1]);
  });

  it("lose nothing of a store that is away for a while", async () => {
    const memory = createMemoryTotals();
    let away = true;
    const store: TotalsStore = {
      read: memory.read,
      add: (samples) => (away ? Promise.reject(new Error("away")) : memory.add(samples)),
    };
    const totals = createUsageTotals({ store, log: silentLog });

    totals.add(sample());
    expect(await totals.read("static/acme", "chat_completions")).toEqual([]);
    totals.add(sample());
    away = false;
    await totals.close();

    expect((await memory.read("static/acme", "chat_completions"))[0]?.models.get("anthropic/claude")).toMatchObject({
      requests: 2,
    });
  });
});
