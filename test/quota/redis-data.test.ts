import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adviceOn, checkRedis, triedCommands } from "../../src/quota/redis-check.js";
import { createQuotaKeys, shardCount, slotOf } from "../../src/quota/redis-keys.js";
import { quotaScripts } from "../../src/quota/scripts.js";
import { memberKey } from "../../src/quota/store.js";
import { outboxScripts } from "../../src/usage/redis-outbox-scripts.js";
import { type RedisServer, startDurableRedis, startRedis, startReplica, until } from "../helpers/redis.js";
import { type OpenStore, openStore, patientMs, slots, units } from "../helpers/redis-quota.js";

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());

/** A store with a prefix that is told. */
async function open(options: Parameters<typeof openStore>[1] = {}) {
  const prefix = `${randomUUID()}:`;
  return { prefix, opened: await openStore(server.endpoint, { prefix, timeoutMs: patientMs, ...options }) };
}

/** What the keys under a prefix are. */
const kindsOf = async (prefix: string): Promise<readonly string[]> =>
  (await keysOf(prefix)).map((key) => key.split(":").at(-1) ?? "").toSorted();

const keysOf = async (prefix: string): Promise<readonly string[]> =>
  (await server.client.keys(`${prefix}*`)).toSorted();

describe("what the Redis quota store leaves in Redis", () => {
  it("is under the prefix, without the actor's id in names, all of an actor's in one slot", async () => {
    const { prefix, opened } = await open();
    await using store: OpenStore = opened;
    await store.hold([units(10), slots(10)]);
    const keys = await keysOf(prefix);
    expect(await kindsOf(prefix)).toEqual(["counters", "holds", "leases", "outbox"]);
    expect(keys.join()).not.toContain(store.actor);
    const tags = new Set(keys.map((key) => /^\{([^{}]+)\}/.exec(key.slice(prefix.length))?.[1]));
    expect(tags.size).toBe(1);
  });

  it("ends by itself: counters with their windows, ids when they need not be known any more", async () => {
    const { prefix, opened } = await open({ rememberMs: 200, outbox: false });
    await using store: OpenStore = opened;
    const rules = [units(10, { windowMs: 300 }), units(10, { key: "longer", windowMs: 600 }), slots(5)];
    await store.commit(await store.hold(rules));
    await store.refund(await store.hold(rules));
    expect(await kindsOf(prefix)).toEqual(["counters", "settled"]);
    await until(async () => (await keysOf(prefix)).length === 0);
  });

  it("is little of an actor with ever more members: those whose windows are open, and not many of the others", async () => {
    const { prefix, opened } = await open({ outbox: false });
    await using store: OpenStore = opened;
    // What keeps the actor's counters there all the time.
    await store.hold([units(10)]);
    const { keys } = createQuotaKeys(prefix).of(store.actor);
    for (let at = 0; at < 600; at++) {
      const rule = units(10, { key: memberKey("users", `${at}`), windowMs: 20 });
      await store.commit(await store.hold([rule]));
      if (at % 20 === 0) await sleep(20);
    }
    // Of 20 to 40 that are open at a time, three in four of which are kept once they are over, at the very most.
    expect(await server.client.hlen(keys[0] as string)).toBeLessThan(200);
  });

  it("keeps holds however long nobody sweeps", async () => {
    const { prefix, opened } = await open({ leaseMs: 50 });
    await using store: OpenStore = opened;
    await store.hold([units(10, { windowMs: 100 }), slots(1)]);
    await sleep(150);
    expect(await kindsOf(prefix)).toEqual(["holds", "leases", "outbox"]);
    const ends = await Promise.all((await keysOf(prefix)).map((key) => server.client.pttl(key)));
    expect(ends).toEqual([-1, -1, -1]);
    await until(async () => (await store.store.reap(10)).length === 1);
    expect(await kindsOf(prefix)).toEqual(["outbox", "settled"]);
  });

  it("has its end set again where a counter lost it, not before its longest window", async () => {
    const { prefix, opened } = await open();
    await using store: OpenStore = opened;
    await store.hold([units(10, { key: "day", windowMs: 86_400_000 })]);
    await store.hold([units(10)]);
    const key = (await keysOf(prefix)).find((each) => each.endsWith("counters")) ?? "";
    const end = await server.client.pexpiretime(key);
    await server.client.persist(key);
    await store.hold([units(10)]);
    expect(await server.client.pexpiretime(key)).toBe(end);
  });

  it("does not grow with requests that are over", async () => {
    const { prefix, opened } = await open({ rememberMs: 20, outbox: false });
    await using store: OpenStore = opened;
    const [, , key = ""] = createQuotaKeys(prefix).of(store.actor).keys;
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await Promise.all(Array.from({ length: 20 }, async () => store.refund(await store.hold([units(100)]))));
      await sleep(10);
      most = Math.max(most, await server.client.zcard(key));
    }
    expect(most).toBeLessThan(300);
  });

  it("is read and written without commands that block the server", async () => {
    await server.client.config("RESETSTAT");
    const { opened } = await open({ leaseMs: 100 });
    await using store: OpenStore = opened;
    await store.hold([units(10)]);
    await store.commit(await store.hold([units(10)]));
    await store.store.reset(store.actor, ["units"]);
    await sleep(100);
    await store.store.reap(10);
    const stats = await server.client.info("commandstats");
    expect(stats).toContain("cmdstat_evalsha");
    expect(stats).not.toMatch(/cmdstat_(keys|scan|flushall|flushdb|sort|smembers|hgetall):/);
  });
});

describe("leases that do not fit their holds", () => {
  it("frees the slots of a hold that lost its lease, and drops leases of no hold", async () => {
    const { prefix, opened } = await open({ leaseMs: 100 });
    await using store: OpenStore = opened;
    await store.hold([slots(1)]);
    const { leases } = createQuotaKeys(prefix).of(store.actor).shard;
    await server.client.zadd(leases, ...Array.from({ length: 150 }, (_, i) => [1, `${"0".repeat(32)}${i}`]).flat());
    const [own = ""] = await server.client.zrange(leases, "-1", "-1");
    await server.client.zrem(leases, own);
    await store.hold([slots(1)]);
    await until(async () => {
      await store.store.reap(10);
      return (await server.client.zcard(leases)) === 0;
    });
  });

  it("settles the actor's own abandoned holds first, however many of others wait", async () => {
    const { prefix, opened } = await open({ leaseMs: 60_000 });
    await using store: OpenStore = opened;
    const { shard } = createQuotaKeys(prefix).of(store.actor);
    const own = await store.hold([slots(1)]);
    // 250 leases of others that ended before the actor's own.
    await server.client.zadd(
      shard.leases,
      ...Array.from({ length: 250 }, (_, i) => [1, `${"0".repeat(32)}${i}`]).flat(),
    );
    await server.client.zadd(shard.leases, 2, `${createQuotaKeys(prefix).of(store.actor).hash}${own}`);
    expect((await store.reserve([slots(1)])).kind).toBe("admitted");
  });
});

describe("the outbox of the Redis quota store", () => {
  async function entriesOf(prefix: string, actor: string): Promise<readonly Record<string, unknown>[]> {
    const { outbox } = createQuotaKeys(prefix).of(actor).shard;
    const entries = await server.client.xrange(outbox, "-", "+");
    return entries.map(([, fields]) => {
      const named: Record<string, unknown> = {};
      for (let i = 0; i < fields.length; i += 2) {
        const text = fields[i + 1] ?? "";
        named[fields[i] ?? ""] = text.startsWith("{") ? JSON.parse(text) : text;
      }
      return named;
    });
  }

  it("tells of each request when it is admitted and when it ends, once", async () => {
    const { prefix, opened } = await open();
    await using store: OpenStore = opened;
    const { actor } = store;
    const reserve = (id: string) =>
      store.store.reserve({
        requestId: id,
        actor,
        rules: [units(3)],
        deadlineAt: store.store.now() + 5_000,
        intent: `intent of ${id}`,
      });
    const settle = { actor, deadlineAt: store.store.now() + 5_000, outcome: '{"ended":"well"}' };
    for (const id of ["a", "b", "c", "d", "a"]) await reserve(id);
    for (const _ of [1, 2]) await store.store.commit({ ...settle, requestId: "a", used: {} });
    await store.store.refund({ ...settle, requestId: "b" });
    // Its lease ended long ago.
    const { hash, shard } = createQuotaKeys(prefix).of(actor);
    await server.client.zadd(shard.leases, 1, `${hash}c`);
    await until(async () => (await store.store.reap(10)).length > 0);

    const admitted = (id: string) => ({ id, actor, intent: `intent of ${id}` });
    const event = { ended: "well" };
    const named = (id: string) => ({ id, actor });
    expect(await entriesOf(prefix, actor)).toEqual([
      { reserved: admitted("a") },
      { reserved: admitted("b") },
      { reserved: admitted("c") },
      { finished: named("a"), event },
      { refunded: named("b"), event },
      { abandoned: "0", of: admitted("c") },
    ]);
  });

  it("tells of a request that Redis does not know of, once, and of one that lapsed only that", async () => {
    const { prefix, opened } = await open({ leaseMs: 100 });
    await using store: OpenStore = opened;
    const { actor } = store;
    const settle = { actor, deadlineAt: store.store.now() + 5_000, outcome: '{"ended":"well"}' };
    const lapsed = await store.hold([units(3)]);
    await sleep(120);
    for (const _ of [1, 2]) {
      expect((await store.store.commit({ ...settle, requestId: "lost", used: {} })).kind).toBe("gone");
      expect((await store.store.refund({ ...settle, requestId: "let in blind" })).kind).toBe("gone");
      expect((await store.store.refund({ ...settle, requestId: "never let in", outcome: "" })).kind).toBe("gone");
      expect((await store.store.commit({ ...settle, requestId: lapsed, used: {} })).kind).toBe("gone");
    }
    const event = { ended: "well" };
    expect(await entriesOf(prefix, actor)).toEqual([
      { reserved: { id: lapsed, actor, intent: "" } },
      { abandoned: "0", of: { id: lapsed, actor, intent: "" } },
      { finished: { id: "lost", actor }, event },
      { refunded: { id: "let in blind", actor }, event },
    ]);
  });

  it("is not written when it is switched off", async () => {
    const { prefix, opened } = await open({ outbox: false });
    await using store: OpenStore = opened;
    await store.commit(await store.hold([units(1)]));
    expect((await keysOf(prefix)).some((key) => key.endsWith("outbox"))).toBe(false);
  });
});

describe("the keys of the Redis quota store", () => {
  it("have slots as Redis sees them, one shard for each equal range of slots", async () => {
    expect(slotOf("123456789")).toBe(0x31c3);
    const { shards } = createQuotaKeys("p:");
    expect(shards.map(({ slot }) => Math.floor((slot * shardCount) / 16_384))).toEqual(
      Array.from({ length: shardCount }, (_, i) => i),
    );
    expect(shards.map(({ leases }) => slotOf(/\{(.*)\}/.exec(leases)?.[1] ?? ""))).toEqual(
      shards.map(({ slot }) => slot),
    );
  });

  it("are the same however many actors were asked for meanwhile", () => {
    const keys = createQuotaKeys("p:");
    const before = structuredClone(keys.of("actor"));
    for (let i = 0; i < 12_000; i++) keys.of(`other ${i}`);
    expect(keys.of("actor")).toEqual(before);
  });
});

describe("what is said of a Redis", () => {
  it.each([
    ["redis_version:6.2.14\r\n", /6\.2\.14 is too old.*7\.0/],
    ["maxmemory_policy:allkeys-lru\r\n", /allkeys-lru.*noeviction/],
    ["aof_enabled:0\r\n", /appendonly yes/],
    ["rdb_last_bgsave_status:err\r\n", /cannot save/],
    ["role:slave\r\n", /replica/],
  ])("%j: says what to do", (info, said) => {
    expect(adviceOn(info)).toEqual([expect.stringMatching(said)]);
  });

  it("is what a failover would lose, once there is a replica, until it is set that none may be missing", async () => {
    await using primary = await startDurableRedis();
    await using open = await openStore(primary.endpoint);
    expect(await checkRedis(open.redis, "")).toEqual([]);
    await using replica = await startReplica(primary);
    expect(await checkRedis(open.redis, ""), replica.endpoint).toEqual([
      expect.stringMatching(new RegExp(`^Redis ${primary.endpoint}: .*set min-replicas-to-write 1 .*a replica`)),
    ]);
    await primary.client.config("SET", "min-replicas-to-write", "1");
    expect(await checkRedis(open.redis, "")).toEqual([]);
  });

  it("is the same behind Sentinels whose replicas are missing just now", () => {
    const alone = "role:master\r\nconnected_slaves:0\r\n";
    expect(adviceOn(alone)).toEqual([]);
    expect(adviceOn(alone, { failsOver: true })).toEqual([expect.stringMatching(/min-replicas-to-write 1/)]);
    expect(adviceOn(`${alone}min_slaves_good_slaves:0\r\n`, { failsOver: true })).toEqual([]);
  });

  it("is nothing when it is as it should be, or does not tell", () => {
    expect(adviceOn("redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n")).toEqual(
      [],
    );
    expect(adviceOn("")).toEqual([]);
  });

  it("covers each command that the scripts call, and leaves nothing behind", async () => {
    const called = [...Object.values(quotaScripts()), ...Object.values(outboxScripts())].flatMap((text) => [
      ...text.matchAll(/call\('([A-Z]+)'/g),
    ]);
    expect(new Set(called.map(([, name]) => name))).toEqual(new Set(triedCommands.map(([name]) => name)));
    const { prefix, opened } = await open();
    await using store: OpenStore = opened;
    expect(await checkRedis(store.redis, prefix)).toEqual([expect.stringContaining("appendonly yes")]);
    expect(await keysOf(prefix)).toEqual([]);
  });

  it("names the commands that our user may not run", async () => {
    const prefix = `${randomUUID()}:`;
    await server.client.call("ACL", "SETUSER", "quota", "on", ">secret", "~*", "+@all", "-xadd", "-zadd", "-info");
    await using asUser = await openStore(`redis://quota:secret@${server.endpoint}`, { prefix, waits: false });
    await until(async () => asUser.redis.client.status === "ready");
    const said = await checkRedis(asUser.redis, prefix);
    expect(said).toEqual([expect.stringMatching(/INFO, ZADD, XADD; grant/)]);
    expect(said.join()).not.toContain("secret");
  });

  it("is that it could not be asked, when it is away", async () => {
    await using store = await openStore("127.0.0.1:1", { waits: false });
    expect(await checkRedis(store.redis, "")).toEqual([expect.stringMatching(/^Redis could not be checked/)]);
  });
});
