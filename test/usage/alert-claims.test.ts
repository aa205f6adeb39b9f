import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/lib/clock.js";
import { openDatabase } from "../../src/lib/database.js";
import { createDatabaseClaims } from "../../src/usage/database-claims.js";
import { createMemoryClaims } from "../../src/usage/memory-claims.js";
import { createRedisClaims } from "../../src/usage/redis-claims.js";
import { describeAlertClaims } from "../contract/alert-claims.js";
import { dataDir } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { sharedDatabase, sharedRedis } from "../helpers/store-places.js";

describeAlertClaims("memory", async () => {
  const clock = fakeClock();
  return { claims: createMemoryClaims({ clock }), now: clock.now, after: async (ms) => clock.advanceMs(ms) };
});

describe("on disk", () => {
  const on = sharedDatabase();

  describeAlertClaims("a database", async () => {
    const clock = fakeClock();
    await createDatabaseClaims({ clock, database: on.database });
    await on.database.write([{ sql: "DELETE FROM alert_claims", params: [] }]);
    const claims = await createDatabaseClaims({ clock, database: on.database });
    return { claims, now: clock.now, after: async (ms) => clock.advanceMs(ms) };
  });

  it("knows after a restart what was told of, and gives what was not to the next one", async () => {
    await using other = await dataDir();
    const until = new Date(Date.now() + 60_000);
    const first = await openDatabase(other.path);
    const before = await createDatabaseClaims({ clock: systemClock, database: first });
    await before.claim({ key: "a", threshold: 95, until }, 60_000);
    await before.told({ key: "a", threshold: 95, until });
    await before.told({ key: "a", threshold: 90, until });
    await before.claim({ key: "a", threshold: 100, until }, 60_000);
    await first.close();
    const second = await openDatabase(other.path);
    const claims = await createDatabaseClaims({ clock: systemClock, database: second });

    expect(await claims.claim({ key: "a", threshold: 95, until }, 60_000)).toBe("told");
    expect(await claims.claim({ key: "a", threshold: 100, until }, 60_000)).toBe("yours");
    await second.close();
  });
});

describe("on Redis", () => {
  const on = sharedRedis("alerts");
  let made = 0;

  const clock = systemClock;
  describeAlertClaims("Redis", async () => ({
    claims: createRedisClaims({ redis: on.redis, clock }, { prefix: `c${made++}:` }),
    now: clock.now,
    after: (ms) => sleep(ms),
  }));

  it("has an end for every key, and no actor's name in it", async () => {
    const claims = createRedisClaims({ redis: on.redis, clock }, { prefix: "ends:" });
    const until = new Date(Date.now() + 9_000);
    await claims.told({ key: "an actor", threshold: 90, until });
    await claims.claim({ key: "an actor", threshold: 95, until }, 60_000);
    const keys = (await on.server.client.keys("ends:*")).toSorted();

    expect(keys).toEqual([
      expect.stringMatching(/^ends:alert:\{[\w-]{32}\}$/),
      expect.stringMatching(/^ends:alert:\{[\w-]{32}\}:claim$/),
    ]);
    for (const key of keys) {
      const lifeMs = await on.server.client.pttl(key);
      expect(lifeMs).toBeGreaterThan(0);
      expect(lifeMs).toBeLessThanOrEqual(9_000);
    }
  });
});
