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

  it("is there again after a restart", async () => {
    await using other = await dataDir();
    const until = new Date(Date.now() + 60_000);
    const first = await openDatabase(other.path);
    await (await createDatabaseClaims({ clock: systemClock, database: first })).claim("a", 95, until);
    await first.close();
    const second = await openDatabase(other.path);
    const claims = await createDatabaseClaims({ clock: systemClock, database: second });

    expect(await claims.claim("a", 95, until)).toBe(false);
    expect(await claims.claim("a", 100, until)).toBe(true);
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
    await createRedisClaims({ redis: on.redis, clock }, { prefix: "ends:" }).claim(
      "an actor",
      90,
      new Date(Date.now() + 9_000),
    );
    const [key = ""] = await on.server.client.keys("ends:*");

    expect(key).toMatch(/^ends:alert:[\w-]{32}$/);
    expect(await on.server.client.pttl(key)).toBeGreaterThan(0);
  });
});
