import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createDirectory } from "../../src/actors/directory.js";
import type { Override } from "../../src/actors/override.js";
import { actorRecord, overrideRecord, revocationRecord, syncRecord } from "../../src/actors/records.js";
import { Answer } from "../../src/actors/scripts.js";
import type { ActorStore, StoreRecord } from "../../src/actors/store.js";
import { makeActor } from "../helpers/make-actor.js";
import { type RedisServer, startCluster, startDurableRedis, startRedis, until } from "../helpers/redis.js";
import { type OpenActorStore, openActorStore } from "../helpers/redis-actors.js";
import { startTcpProxy } from "../helpers/tcp-proxy.js";

/** An answer to `read`: what was followed is gone. */
const gone = `*2\r\n:${Answer.gone}\r\n`;
/** The end of one: no change ever, nothing due, no era. */
const nameless = "$3\r\n0-0\r\n:0\r\n$0\r\n\r\n";

const away = { name: "UnavailableError", reason: "ACTOR_STORE_UNAVAILABLE", retryAfterMs: expect.any(Number) };

function actor(key: string, value = "1"): StoreRecord {
  return { kind: "actors", key, value };
}

/** Writes until it is written, as who has something to say does. */
async function persist(store: ActorStore, ...records: StoreRecord[]): Promise<void> {
  await until(() =>
    store.write(records).then(
      () => true,
      () => false,
    ),
  );
}

function reloads({ listener }: OpenActorStore): number {
  return listener.events.filter((event) => event === "reloaded").length;
}

describe("a Redis store of actors whose server stands still", () => {
  it("says so and goes on to know, writes nothing that was given up, and hears of changes once it goes on", async () => {
    await using server = await startRedis();
    const timeoutMs = 1_000;
    await using one = await openActorStore(server.endpoint, { timeoutMs });
    const { prefix } = one;
    await using two = await openActorStore(server.endpoint, { prefix, timeoutMs });
    await persist(one.store, actor("known"));
    await two.listener.until(() => two.listener.get("actors", "known") === "1");
    const lease = await one.store.acquire("sync", { ttlMs: 60_000, holder: "one" });
    // By the fastest of these, what comes late is told.
    for (let call = 0; call < 20; call++) await one.store.holder("sync");

    server.freeze();
    const calls = [
      one.store.write([actor("zombie")]),
      one.store.write([actor("zombie")], lease),
      one.store.acquire("zombie", { ttlMs: 60_000, holder: "one" }),
      one.store.take("permits", { perSecond: 1, burst: 1 }),
      one.store.holder("sync"),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject(away);
    await two.listener.until(() => two.listener.events.at(-1) === "disconnected");
    expect(two.listener.get("actors", "known")).toBe("1");
    one.store.publish("nobody", "hears this");
    server.thaw();

    await two.listener.until(() => two.listener.events.at(-1) === "connected");
    await persist(one.store, actor("new"));
    await two.listener.until(() => two.listener.get("actors", "new") === "1");
    expect(two.listener.get("actors", "zombie")).toBeUndefined();
    expect(await two.store.holder("zombie")).toBeUndefined();
    expect(await two.store.take("permits", { perSecond: 0.001, burst: 1 })).toBe(true);
    // It has missed nothing, so it did not need to be told everything again.
    expect([reloads(one), reloads(two)]).toEqual([1, 1]);
  });
});

describe("a Redis store of actors whose server dies and comes back", () => {
  it("goes on from where it was when the server has kept its data", async () => {
    await using server = await startDurableRedis();
    await using one = await openActorStore(server.endpoint);
    const { prefix } = one;
    await using two = await openActorStore(server.endpoint, { prefix });
    await one.store.write([actor("a"), actor("b")]);
    await two.listener.until(() => two.listener.get("actors", "b") === "1");

    await server.kill();
    await two.listener.until(() => two.listener.events.at(-1) === "disconnected");
    await expect(one.store.write([actor("c")])).rejects.toMatchObject(away);
    await server.start();

    await persist(one.store, { ...actor("a"), value: undefined }, actor("d"));
    await two.listener.until(() => two.listener.get("actors", "d") === "1");
    expect([...two.listener.world.keys()]).toEqual(["actors b", "actors d"]);
    expect([reloads(one), reloads(two)]).toEqual([1, 1]);
    // Messages come again, too.
    let heard = false;
    one.store.subscribe("activity", () => {
      heard = true;
    });
    await until(async () => {
      two.store.publish("activity", "hello");
      return heard;
    });
  });

  it("follows a server whose address is away at the start", async () => {
    await using server = await startRedis();
    await server.kill();
    await using one = await openActorStore(server.endpoint, { waits: false });
    expect(one.listener.events).toEqual(["disconnected"]);
    await expect(one.store.write([actor("a")])).rejects.toMatchObject(away);

    await server.start();

    await one.listener.until(() => one.listener.events.at(-1) === "connected");
    expect(one.listener.events).toEqual(["disconnected", "reloading", "reloaded", "connected"]);
    await persist(one.store, actor("a"));
    expect(one.listener.get("actors", "a")).toBe("1");
  });

  it("reads everything anew when the server has lost changes and gone on with others since", async () => {
    await using server = await startRedis();
    await using proxy = await startTcpProxy(server.port);
    await using one = await openActorStore(proxy.endpoint);
    await one.store.write([actor("both"), actor("updated", "old")]);
    await server.client.save();
    await one.store.write([actor("lost"), actor("updated", "lost"), actor("lost too")]);
    await proxy.refuse();
    await server.kill();
    await server.start();
    await server.ready();
    // Numbers go past what it has seen.
    await using other = await openActorStore(server.endpoint, { prefix: one.prefix, follows: false });
    for (const key of ["2", "3", "4", "5"]) await other.store.write([actor(key)]);
    await proxy.accept();

    await one.listener.until(() => one.listener.get("actors", "5") === "1" && reloads(one) === 2);
    expect([...one.listener.world.keys()].toSorted()).toEqual(
      ["2", "3", "4", "5", "both", "updated"].map((key) => `actors ${key}`),
    );
    expect(one.listener.get("actors", "updated")).toBe("old");
  });
});

describe("a Redis store of actors that lost something", () => {
  it("reads everything anew when changes were trimmed that it has not seen", async () => {
    await using server = await startRedis();
    await using proxy = await startTcpProxy(server.port);
    await using cut = await openActorStore(proxy.endpoint, { maxChanges: 10 });
    const { prefix } = cut;
    await using other = await openActorStore(server.endpoint, { prefix, maxChanges: 10 });
    await other.store.write([actor("kept"), actor("removed"), { ...actor("expired"), expiresAt: Date.now() + 500 }]);
    await cut.listener.until(() => cut.listener.get("actors", "expired") !== undefined);

    await proxy.refuse();
    await cut.listener.until(() => cut.listener.events.at(-1) === "disconnected");
    await other.store.write([{ ...actor("removed"), value: undefined }]);
    for (let round = 0; round < 5; round++)
      await other.store.write(Array.from({ length: 500 }, (_, index) => actor(`n${index}`, String(round))));
    expect(await server.client.xlen(`${prefix}{actors}:changes`)).toBeLessThan(200);
    await proxy.accept();

    await cut.listener.until(() => cut.listener.events.at(-1) === "connected");
    expect(reloads(cut)).toBe(2);
    // Each is told of it in its own time: one of them by no longer finding it.
    for (const { listener } of [cut, other])
      await listener.until(() => listener.get("actors", "expired") === undefined);
    expect(cut.listener.world).toEqual(other.listener.world);
    expect(cut.listener.world.size).toBe(501);
    // And on it goes, change by change.
    await other.store.write([actor("last")]);
    await cut.listener.until(() => cut.listener.get("actors", "last") === "1");
    expect(reloads(cut)).toBe(2);
  });

  it("is not disturbed when somebody empties the stream of changes", async () => {
    await using server = await startRedis();
    await using one = await openActorStore(server.endpoint);
    await one.store.write([actor("a")]);
    await server.client.xtrim(`${one.prefix}{actors}:changes`, "MAXLEN", "0");

    await one.store.write([actor("b")]);
    await using two = await openActorStore(server.endpoint, { prefix: one.prefix });
    await two.store.write([actor("c")]);

    await one.listener.until(() => one.listener.get("actors", "c") === "1");
    expect([...two.listener.world.keys()].toSorted()).toEqual(["actors a", "actors b", "actors c"]);
    expect(one.listener.world).toEqual(two.listener.world);
  });

  it("goes on beside what a newer version kept there, and leaves that alone when it has ended", async () => {
    await using server = await startRedis();
    await using one = await openActorStore(server.endpoint);
    const expiry = `${one.prefix}{actors}:expiry`;
    const newer = Array.from({ length: 1_200 }, (_, index) => [1, `99 ${index}`]).flat();
    await server.client.zadd(expiry, ...newer);

    await one.store.write([{ kind: "unknown", key: "u", value: "1", expiresAt: one.store.now() + 50 }, actor("a")]);
    await one.listener.until(() => one.listener.get("unknown", "u") === undefined);
    await using two = await openActorStore(server.endpoint, { prefix: one.prefix });

    expect([...two.listener.world.keys()]).toEqual(["actors a"]);
    expect(await server.client.hlen(`${one.prefix}{actors}:records:unknown`)).toBe(0);
    expect(await server.client.zcard(expiry)).toBe(1_200);
  });

  it("goes on when the scripts are forgotten", async () => {
    await using server = await startRedis();
    await using one = await openActorStore(server.endpoint, { timeoutMs: 5_000 });
    await using two = await openActorStore(server.endpoint, { prefix: one.prefix, timeoutMs: 5_000 });

    for (let round = 0; round < 20; round++) {
      await server.client.script("FLUSH");
      await one.store.write([actor("a", String(round))]);
    }

    await two.listener.until(() => two.listener.get("actors", "a") === "19");
    expect(two.log.lines).toEqual([]);
  });

  it("says it is away while the server takes no more, and still frees what is over", async () => {
    await using server = await startRedis();
    await using one = await openActorStore(server.endpoint);
    const lease = await one.store.acquire("sync", { ttlMs: 60_000, holder: "one" });
    await one.store.write([{ ...actor("short"), expiresAt: one.store.now() + 300 }, actor("a")]);
    await server.client.config("SET", "maxmemory", "1");

    await expect(one.store.write([actor("b")])).rejects.toMatchObject(away);
    await lease?.release();
    expect(await one.store.holder("sync")).toBeUndefined();
    await one.listener.until(() => one.listener.get("actors", "short") === undefined);

    await server.client.config("SET", "maxmemory", "0");
    await persist(one.store, actor("b"));
    expect([...one.listener.world.keys()]).toEqual(["actors a", "actors b"]);
  });

  it("follows its slot to another server of a Cluster", async () => {
    await using cluster = await startCluster();
    await using one = await openActorStore(cluster.endpoint);
    await using two = await openActorStore(cluster.endpoint, { prefix: one.prefix });
    await one.store.write([actor("a")]);
    const slot = 12_967;
    const owner = cluster.nodes.at(-1) as RedisServer;
    const heir = cluster.nodes[0] as RedisServer;

    await owner.client.cluster("SETSLOT", slot, "MIGRATING", await heir.client.cluster("MYID"));
    await heir.client.cluster("SETSLOT", slot, "IMPORTING", await owner.client.cluster("MYID"));
    const keys = await owner.client.cluster("GETKEYSINSLOT", slot, 100);
    await owner.client.migrate("127.0.0.1", heir.port, "", 0, 30_000, "KEYS", ...keys);
    const id = await heir.client.cluster("MYID");
    for (const node of [heir, owner, cluster.nodes[1] as RedisServer])
      await node.client.cluster("SETSLOT", slot, "NODE", id);

    await persist(one.store, actor("b"));
    await two.listener.until(() => two.listener.get("actors", "b") === "1");
    expect([...two.listener.world.keys()]).toEqual(["actors a", "actors b"]);
    expect(reloads(two)).toBe(1);
  });

  it("runs nothing on the server that holds others up, and leaves none of its keys without need", async () => {
    await using server = await startRedis();
    await using one = await openActorStore(server.endpoint, { prefix: `${randomUUID()}:` });
    const expiresAt = one.store.now() + 200;
    for (let at = 0; at < 3_000; at += 500)
      await one.store.write(Array.from({ length: 500 }, (_, index) => ({ ...actor(`a${at + index}`), expiresAt })));
    await one.store.take("lookups", { perSecond: 0.01, burst: 10 });
    await (await one.store.acquire("sync", { ttlMs: 1_000, holder: "x" }))?.release();

    await one.listener.until(() => one.listener.world.size === 0);

    const stats = await server.client.info("commandstats");
    const used = [...stats.matchAll(/^cmdstat_([^:]+):/gm)].map(([, name]) => name);
    expect(used.filter((name) => /^(keys|flush.*|scan|smembers|hgetall|hkeys|hvals)$/.test(name ?? ""))).toEqual([]);
    expect(await server.client.exists(`${one.prefix}{actors}:records:actors`, `${one.prefix}{actors}:expiry`)).toBe(0);
    expect(await server.client.pttl(`${one.prefix}{actors}:permits:lookups`)).toBeGreaterThan(0);
  });
});

describe("a Redis store of actors that lost everything", () => {
  const told = (id: string) => makeActor({ source: "portal", id });
  const revocation = { tokenHash: "revoked", reason: "leaked", revokedBy: "ops", revokedAt: 1 };
  const override: Override = {
    source: "portal",
    id: "a0",
    subject: { kind: "access", enabled: false },
    reason: "abuse",
    setBy: "ops",
    setAt: 1,
  };

  /** A process with a directory, as a gateway has it. */
  async function startDirectory(endpoint: string, prefix: string) {
    const open = await openActorStore(endpoint, { prefix, follows: false });
    const directory = createDirectory({ clock: open.store });
    const states: boolean[] = [];
    directory.onChange((change) => change.kind === "state" && states.push(change.state.connected));
    await open.store.follow(directory);
    return { ...open, directory, states };
  }

  it("is given back what processes know, by one of them, while none of them forgets it", async () => {
    await using server = await startRedis();
    const prefix = `${randomUUID()}:`;
    await using proxy = await startTcpProxy(server.port);
    await using one = await startDirectory(proxy.endpoint, prefix);
    await using two = await startDirectory(proxy.endpoint, prefix);
    const count = 1_200;
    const actors = Array.from({ length: count }, (_, index) =>
      actorRecord({ told: told(`a${index}`), tokenHashes: [`t${index}`] }),
    );
    for (let at = 0; at < count; at += 400) await one.store.write(actors.slice(at, at + 400));
    const ending = { told: told("ending"), tokenHashes: [], expiresAt: one.store.now() + 3_600_000 };
    await one.store.write([
      actorRecord(ending),
      revocationRecord(revocation),
      overrideRecord(override),
      syncRecord("portal", { completedAt: 7 }),
    ]);
    // The data has its name, and both know it.
    await until(async () => (await server.client.exists(`${prefix}{actors}:era`)) === 1);
    await one.store.write([actor("portal/x", "garbage")]);
    expect(await one.store.keep("pepper", "of one")).toBe("of one");
    expect(await two.store.keep("pepper", "of two")).toBe("of one");
    await until(async () => two.directory.count("portal") === count + 1);
    const gone: string[] = [];
    for (const { directory } of [one, two])
      directory.onChange((change) => {
        if (change.kind === "actor" && change.after === undefined) gone.push(change.id);
      });

    await proxy.refuse();
    await server.kill();
    await until(async () => two.states.at(-1) === false && one.states.at(-1) === false);
    await server.start();
    await server.ready();
    // One that knows nothing does not make it so.
    await using fresh = await startDirectory(server.endpoint, prefix);
    expect(await fresh.store.keep("pepper", "of the fresh one")).toBe("of the fresh one");
    await proxy.accept();

    await until(async () => fresh.directory.count("portal") === count + 1);
    await until(async () => two.states.at(-1) === true && one.states.at(-1) === true);
    expect(gone).toEqual([]);
    for (const { directory } of [one, two, fresh]) {
      expect(directory.byToken("t7")?.told).toEqual(told("a7"));
      expect(directory.get("portal", "a0")?.actor.accessEnabled).toBe(false);
      expect(directory.revocation("revoked")).toEqual(revocation);
      expect(directory.sync("portal")).toEqual({ completedAt: 7 });
      expect(directory.count("portal")).toBe(count + 1);
    }
    const restored = [one, two, fresh].flatMap(({ log }) => log.lines.filter(({ level }) => level === "warn"));
    expect(restored).toMatchObject([{ fields: { records: count + 4 } }]);
    const [expiresAt] = await server.client
      .zrange(`${prefix}{actors}:expiry`, "0", "-1", "WITHSCORES")
      .then((all) => all.slice(1));
    expect(expiresAt).toBe(String(ending.expiresAt));
    for (const { store } of [one, two, fresh]) expect(await store.keep("pepper", "another")).toBe("of one");
    // And on it goes.
    await two.store.write([actorRecord({ told: told("new"), tokenHashes: ["new"] })]);
    await until(async () => fresh.directory.byToken("new") !== undefined && one.directory.byToken("new") !== undefined);
  });

  it("does not bring back what is there anew", async () => {
    await using server = await startRedis();
    const prefix = `${randomUUID()}:`;
    await using proxy = await startTcpProxy(server.port);
    await using one = await startDirectory(proxy.endpoint, prefix);
    await one.store.write([actorRecord({ told: told("a"), tokenHashes: ["old"] })]);
    await one.store.write([actorRecord({ told: told("b"), tokenHashes: ["b"] })]);
    await proxy.refuse();
    await server.client.flushall();
    await using writer = await openActorStore(server.endpoint, { prefix, follows: false });
    await writer.store.write([actorRecord({ told: told("a"), tokenHashes: ["new"] })]);
    await proxy.accept();

    await until(async () => one.states.at(-1) === true && one.directory.byToken("new") !== undefined);
    expect(one.directory.byToken("old")).toBeUndefined();
    expect(one.directory.byToken("b")?.id).toBe("b");
  });

  it("takes another's word where the data was named anew without it", async () => {
    await using server = await startRedis();
    const prefix = `${randomUUID()}:`;
    await using proxy = await startTcpProxy(server.port);
    await using one = await startDirectory(proxy.endpoint, prefix);
    await one.store.write([actorRecord({ told: told("a"), tokenHashes: ["a"] })]);
    await proxy.refuse();
    await server.client.flushall();
    await using other = await startDirectory(server.endpoint, prefix);
    await other.store.write([actorRecord({ told: told("b"), tokenHashes: ["b"] })]);
    await until(async () => (await server.client.exists(`${prefix}{actors}:era`)) === 1);
    await proxy.accept();

    await until(async () => one.directory.byToken("b") !== undefined && one.directory.byToken("a") === undefined);
    expect(one.log.lines).toEqual([]);
  });

  it("takes another's word that came between its look and its lease", async () => {
    await using server = await startRedis();
    const prefix = `${randomUUID()}:`;
    let hasSeenGone = false;
    await using proxy = await startTcpProxy(server.port, (bytes) => {
      // What it followed is gone, it hears; then, that the data has no name. Before it comes to act on that, it has.
      if (hasSeenGone && bytes.includes(nameless)) void server.client.set(`${prefix}{actors}:era`, "another's");
      hasSeenGone ||= bytes.includes(gone);
    });
    await using one = await startDirectory(proxy.endpoint, prefix);
    await one.store.write([actorRecord({ told: told("removed"), tokenHashes: ["removed"] })]);
    await until(async () => (await server.client.exists(`${prefix}{actors}:era`)) === 1);
    await proxy.refuse();
    await server.client.flushall();
    await proxy.accept();

    await until(async () => one.states.at(-1) === true && one.directory.byToken("removed") === undefined);
    expect(await server.client.get(`${prefix}{actors}:era`)).toBe("another's");
    expect(await server.client.exists(`${prefix}{actors}:records:actors`)).toBe(0);
    expect(one.log.lines).toEqual([]);
  });
});
