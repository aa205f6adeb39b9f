import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createQuotaKeys } from "../../src/quota/redis-keys.js";
import {
  type RedisCluster,
  type RedisServer,
  replicated,
  startCluster,
  startSentinel,
  until,
} from "../helpers/redis.js";
import { endsAtOnce, openStore, patientMs, soonMs, units, untilServed } from "../helpers/redis-quota.js";

const rule = units(1_000_000);

describe("a Redis quota store on a Cluster", () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterEach(() => {
    for (const node of cluster.nodes) node.thaw();
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it("spreads actors evenly over the servers", async () => {
    const counts = await Promise.all(cluster.nodes.map(shardsOf));
    expect([Math.min(...counts), Math.max(...counts)]).toEqual([21, 22]);
  });

  it("serves the actors of other servers while one stands still", async () => {
    await using open = await openStore(cluster.endpoint);
    const [first, ...others] = await Promise.all(cluster.nodes.map((node) => actorOn(node)));
    const reserve = (actor: string | undefined) =>
      open.store.reserve({ ...call(open.store.now()), actor: String(actor) });
    cluster.nodes[0]?.freeze();
    await until(async () => {
      await reserve(first).catch(() => undefined);
      return !open.store.state().up;
    });
    for (const actor of others)
      await until(async () => (await reserve(actor).catch(() => undefined))?.kind === "admitted");
    expect(await endsAtOnce(() => reserve(first))).toBe(true);
    await until(async () => open.store.state().servers.filter(({ up }) => up).length === 2);
    expect(await open.store.reap(10)).toEqual([]);

    cluster.nodes[0]?.thaw();
    await until(async () => (await reserve(first).catch(() => undefined))?.kind === "admitted");
    await until(async () => open.store.state().up);
  });

  it("follows slots that move to another server, without an error", async () => {
    await using open = await openStore(cluster.endpoint, { timeoutMs: patientMs });
    const [from, to] = cluster.nodes as [RedisServer, RedisServer];
    const actor = await actorOn(from);
    const { slot } = createQuotaKeys("").of(actor).shard;
    let running = true;
    const requests = (async () => {
      for (let made = 0; ; made++) {
        if (!running) return made;
        const { kind } = await open.store.reserve({ ...call(open.store.now()), actor });
        if (kind !== "admitted") throw new Error(kind);
      }
    })();
    await until(async () => (await from.client.cluster("COUNTKEYSINSLOT", slot)) > 0);
    await moveSlot(from, to, slot);
    const counted = async () => (await open.store.usage(actor, [rule]))[0]?.used ?? 0;
    const atMove = await counted();
    await until(async () => (await counted()) > atMove);
    running = false;
    const made = await requests;
    expect(await counted()).toBe(made);
    expect(await to.client.cluster("COUNTKEYSINSLOT", slot)).toBeGreaterThan(0);
    await moveSlot(to, from, slot);
  });

  it("is away for slots that no server has, and back when one takes them", async () => {
    await using open = await openStore(cluster.endpoint);
    const [from] = cluster.nodes as [RedisServer];
    const actor = await actorOn(from);
    const { slot } = createQuotaKeys("").of(actor).shard;
    const reserve = () => open.store.reserve({ ...call(open.store.now()), actor });
    await Promise.all(cluster.nodes.map(({ client }) => client.cluster("DELSLOTS", slot)));
    await expect(reserve()).rejects.toMatchObject({ reason: "QUOTA_STORE_UNAVAILABLE" });
    await from.client.cluster("ADDSLOTS", slot);
    await until(async () => (await reserve().catch(() => undefined))?.kind === "admitted");
  });

  it("is back soon when all its servers were away", async () => {
    await using open = await openStore(cluster.endpoint);
    for (const node of cluster.nodes) node.freeze();
    await until(async () => {
      await open.store.reap(1).catch(() => undefined);
      return open.store.state().servers.every(({ up }) => !up);
    });
    for (const node of cluster.nodes) node.thaw();
    expect(await untilServed(open)).toBeLessThan(soonMs);
  });
});

describe("a Redis quota store behind Sentinels", () => {
  it("follows a failover", async () => {
    await using sentinel = await startSentinel();
    await using open = await openStore(sentinel.endpoint, { timeoutMs: patientMs });
    const before = await open.hold([rule]);
    await replicated(sentinel.primary, sentinel.replica);
    await sentinel.failOver();
    await untilServed(open, "after");
    expect(await open.commit(before, { units: 3 })).toMatchObject({ kind: "settled", states: [{ used: 3 }] });
  });
});

function call(now: number) {
  return { requestId: randomUUID(), rules: [rule], deadlineAt: now + 10_000, intent: "" };
}

/** How many of the shards a server has. */
async function shardsOf({ client }: RedisServer): Promise<number> {
  const ranges = await slotsOf(client);
  const has = (slot: number): boolean => ranges.some(([from, to]) => from <= slot && slot <= to);
  return createQuotaKeys("").shards.filter(({ slot }) => has(slot)).length;
}

/** The name of an actor whose keys a server has. */
async function actorOn({ client }: RedisServer): Promise<string> {
  const keys = createQuotaKeys("");
  const ranges = await slotsOf(client);
  for (;;) {
    const actor = randomUUID();
    const { slot } = keys.of(actor).shard;
    if (ranges.some(([from, to]) => from <= slot && slot <= to)) return actor;
  }
}

/** The ranges of slots that the server itself has. */
async function slotsOf(client: RedisServer["client"]): Promise<readonly (readonly [number, number])[]> {
  const nodes = String(await client.cluster("NODES"));
  const own = nodes.split("\n").find((line) => line.includes("myself")) ?? "";
  return [...own.matchAll(/ (\d+)(?:-(\d+))?(?= |$)/g)].flatMap(([whole, from, to]) =>
    own.indexOf(whole) > own.indexOf("connected") ? [[Number(from), Number(to ?? from)] as const] : [],
  );
}

/** Hands a slot over with its keys. */
async function moveSlot(from: RedisServer, to: RedisServer, slot: number): Promise<void> {
  const id = await to.client.cluster("MYID");
  await to.client.cluster("SETSLOT", slot, "IMPORTING", await from.client.cluster("MYID"));
  await from.client.cluster("SETSLOT", slot, "MIGRATING", id);
  const keys = await from.client.cluster("GETKEYSINSLOT", slot, 1_000);
  await from.client.migrate("127.0.0.1", to.port, "", 0, 30_000, "KEYS", ...keys);
  await to.client.cluster("SETSLOT", slot, "NODE", id);
  await from.client.cluster("SETSLOT", slot, "NODE", id);
}
