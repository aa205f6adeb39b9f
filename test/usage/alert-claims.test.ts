import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/lib/clock.js";
import { type Database, openDatabase } from "../../src/lib/database.js";
import { connectRedis, type RedisConnection } from "../../src/lib/redis.js";
import { createDatabaseClaims } from "../../src/usage/database-claims.js";
import { createMemoryClaims } from "../../src/usage/memory-claims.js";
import { createRedisClaims } from "../../src/usage/redis-claims.js";
import { describeAlertClaims } from "../contract/alert-claims.js";
import { type DataDir, dataDir } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { type RedisServer, startRedis } from "../helpers/redis.js";

describeAlertClaims("memory", async () => {
  const clock = fakeClock();
  return { claims: createMemoryClaims({ clock }), now: clock.now, after: async (ms) => clock.advanceMs(ms) };
});

describe("on disk", () => {
  let dir: DataDir;
  let database: Database;
  beforeAll(async () => {
    dir = await dataDir();
    database = await openDatabase(dir.path);
  });
  afterAll(async () => {
    await database.close();
    await dir[Symbol.asyncDispose]();
  });

  describeAlertClaims("a database", async () => {
    const clock = fakeClock();
    await createDatabaseClaims({ clock, database });
    await database.write([{ sql: "DELETE FROM alert_claims", params: [] }]);
    const claims = await createDatabaseClaims({ clock, database });
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
  let server: RedisServer;
  let redis: RedisConnection;
  let made = 0;
  beforeAll(async () => {
    server = await startRedis();
    redis = connectRedis(server.endpoint, "alerts");
    await new Promise<void>((resolve) => redis.onReady(() => resolve()));
  });
  afterAll(async () => {
    await redis.close();
    await server[Symbol.asyncDispose]();
  });

  const clock = systemClock;
  describeAlertClaims("Redis", async () => ({
    claims: createRedisClaims({ redis, clock }, { prefix: `c${made++}:` }),
    now: clock.now,
    after: (ms) => sleep(ms),
  }));

  it("has an end for every key, and no actor's name in it", async () => {
    await createRedisClaims({ redis, clock }, { prefix: "ends:" }).claim("an actor", 90, new Date(Date.now() + 9_000));
    const [key = ""] = await server.client.keys("ends:*");

    expect(key).toMatch(/^ends:alert:[\w-]{32}$/);
    expect(await server.client.pttl(key)).toBeGreaterThan(0);
  });
});
