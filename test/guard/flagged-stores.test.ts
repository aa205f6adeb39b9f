import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createDatabaseFlaggedStore } from "../../src/guard/database-store.js";
import { createMemoryFlaggedStore } from "../../src/guard/memory-store.js";
import { createRedisFlaggedStore } from "../../src/guard/redis-store.js";
import { systemClock } from "../../src/lib/clock.js";
import { openDatabase } from "../../src/lib/database.js";
import { describeFlaggedStore, flaggedRequest } from "../contract/flagged-store.js";
import { dataDir } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { sharedDatabase, sharedRedis } from "../helpers/store-places.js";

describeFlaggedStore("memory", async () => {
  const clock = fakeClock();
  const store = createMemoryFlaggedStore({ clock });
  return { store, now: clock.now, after: async (ms) => clock.advanceMs(ms) };
});

describe("on disk", () => {
  const on = sharedDatabase();

  describeFlaggedStore("a database", async () => {
    const clock = fakeClock();
    const store = await createDatabaseFlaggedStore({ clock, database: on.database });
    await on.database.write([{ sql: "DELETE FROM flagged_prompts", params: [] }]);
    return { store, now: clock.now, after: async (ms) => clock.advanceMs(ms) };
  });

  it("is there again after a restart", async () => {
    await using other = await dataDir();
    const first = await openDatabase(other.path);
    await (await createDatabaseFlaggedStore({ clock: systemClock, database: first })).put(
      flaggedRequest(),
      "sealed",
      9,
    );
    await first.close();
    const second = await openDatabase(other.path);
    const store = await createDatabaseFlaggedStore({ clock: systemClock, database: second });

    expect(await store.get(flaggedRequest().key)).toMatchObject({ sealed: "sealed" });
    await second.close();
  });
});

describe("on Redis", () => {
  const on = sharedRedis("flagged");
  let made = 0;

  const clock = systemClock;
  describeFlaggedStore("Redis", async () => ({
    store: createRedisFlaggedStore({ redis: on.redis, clock }, { prefix: `f${made++}:` }),
    now: clock.now,
    after: (ms) => sleep(ms),
  }));

  it("has an end for every key", async () => {
    const store = createRedisFlaggedStore({ redis: on.redis, clock }, { prefix: "ends:" });
    for (const n of [1, 2, 3]) await store.put(flaggedRequest({ key: `prompt:${n}` }), "sealed", 2);
    const keys = await on.server.client.keys("ends:*");

    expect(keys).toHaveLength(5);
    for (const key of keys) expect(await on.server.client.pttl(key)).toBeGreaterThan(0);
  });
});
