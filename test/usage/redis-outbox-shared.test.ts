// Outboxes of several processes on one Redis, together with the quota stores that write to them.

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createQuotaKeys } from "../../src/quota/redis-keys.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { useOutbox } from "../contract/outbox.js";
import { makeEvent } from "../contract/sink.js";
import { type RedisServer, startDurableRedis, startRedis, startReplica, until } from "../helpers/redis.js";
import { type OpenOutbox, openOutbox, untilRead } from "../helpers/redis-outbox.js";
import { openStore, patientMs, units } from "../helpers/redis-quota.js";
import { startTcpProxy } from "../helpers/tcp-proxy.js";

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());

const freshPrefix = (): string => `${randomUUID()}:`;
const start = { id: "", time: "2026-11-24T00:00:00.000Z", actor: { id: "a", source: "test" }, feature: "embeddings" };
const actors = Array.from({ length: 64 }, (_, i) => ({ id: `actor ${i}`, source: "static" }));

/** Appends one event for each of 64 actors, which are spread over the shards. */
function appendForAll({ outbox }: Pick<OpenOutbox, "outbox">, round: number): readonly string[] {
  return actors.map((actor) => {
    const id = `${round}.${actor.id}`;
    outbox.append(makeEvent({ id, actor }));
    return id;
  });
}

/** Reads and acknowledges whatever there is, once. */
async function take({ outbox }: Pick<OpenOutbox, "outbox">, sink = "one"): Promise<readonly string[]> {
  const batch = await outbox.read(sink, 1_000).catch(() => undefined);
  // What could not be acknowledged comes again.
  await batch?.acknowledge().catch(() => undefined);
  return batch?.events.map(({ id }) => id) ?? [];
}

/** Takes from all until all of `ids` came. Returns what came, in order. */
async function takeAll(ids: readonly string[], ...opens: readonly OpenOutbox[]): Promise<readonly string[]> {
  const taken: string[] = [];
  await until(async () => {
    for (const open of opens) taken.push(...(await take(open)));
    return ids.every((id) => taken.includes(id));
  });
  return taken;
}

describe("an outbox that a quota store writes to", () => {
  it("holds one event for each request that was admitted, as its settlement says", async () => {
    const prefix = freshPrefix();
    await using store = await openStore(server.endpoint, { prefix, timeoutMs: patientMs });
    await using open = openOutbox(server.endpoint, { prefix });
    const call = (requestId: string) => ({ requestId, actor: store.actor, deadlineAt: store.store.now() + 5_000 });
    const outcome = (id: string) => JSON.stringify(makeEvent({ id }));
    const ids = ["finished", "refunded", "canceled", "left", "left at the upstream"];
    for (const id of ids) {
      const intent = JSON.stringify({ ...start, id });
      await store.store.reserve({ ...call(id), rules: [units(10)], intent });
    }
    await store.store.commit({ ...call("finished"), used: {}, outcome: outcome("finished") });
    await store.store.refund({ ...call("refunded"), outcome: outcome("refunded") });
    await store.store.refund({ ...call("canceled"), outcome: "" });
    await store.store.refund({ ...call("unknown"), outcome: outcome("unknown") });
    await store.store.renew([{ requestId: "left at the upstream", actor: store.actor, reached: true }]);
    // Their leases ended long ago.
    const { hash, shard } = createQuotaKeys(prefix).of(store.actor);
    await server.client.zadd(shard.leases, 1, `${hash}left`, 2, `${hash}left at the upstream`);

    const events: UsageEvent[] = [];
    await until(async () => {
      // Again and again: where Redis seemed to be away, what ended meanwhile lives on for a while.
      await store.store.reap(10);
      const batch = await open.outbox.read("one", 10);
      events.push(...(batch?.events ?? []));
      await batch?.acknowledge();
      return events.length >= 5;
    });
    const abandoned = { ...start, outcome: "abandoned", usage: {}, durationMs: 0, upstreamMs: 0 };
    expect(events.slice(0, 3)).toEqual(["finished", "refunded", "unknown"].map((id) => makeEvent({ id })));
    expect(events.slice(3).toSorted((a, b) => a.id.length - b.id.length)).toEqual([
      { ...abandoned, id: "left", charged: false },
      { ...abandoned, id: "left at the upstream", charged: true },
    ]);
    // Starts of requests and what was canceled were taken away with them.
    await until(async () => (await take(open), await open.outbox.stored(), open.outbox.waiting() === 0));
  });

  it("passes over what cannot be read, and says so", async () => {
    const prefix = freshPrefix();
    await using open = openOutbox(server.endpoint, { prefix });
    const { lost } = useOutbox(open.outbox);
    await untilRead(server, prefix);
    const [first] = createQuotaKeys(prefix).shards;
    await server.client.xadd(first?.outbox ?? "", "*", "event", "{");
    await server.client.xadd(first?.outbox ?? "", "*", "something", "else");
    await server.client.xadd(first?.outbox ?? "", "*", "event", JSON.stringify(makeEvent({ id: "good" })));

    expect(await takeAll(["good"], open)).toEqual(["good"]);
    expect(lost).toEqual({ one: 1 });
    expect(open.log.lines.filter(({ level }) => level === "error")).toMatchObject([
      { message: "usage event cannot be read", fields: { outbox: first?.outbox } },
    ]);
  });
});

describe("outboxes of several processes", () => {
  it("share the work: each event is read by one of them, by all some", async () => {
    const prefix = freshPrefix();
    // Long, here and where events must come once: one that loses its lease to a standstill reads again what it had.
    const opens = Array.from({ length: 3 }, () => openOutbox(server.endpoint, { prefix, leaseMs: 3_000 }));
    await using all = disposable(opens);
    const shares = async () => {
      const readers = createQuotaKeys(prefix).shards.map(({ outbox }) => `${outbox}:reader`);
      const counts = new Map<string | null, number>();
      for (const id of await server.client.mget(readers)) counts.set(id, (counts.get(id) ?? 0) + 1);
      return counts;
    };
    // Who came last gets its share one by one, as the others leave theirs.
    await until(async () => {
      const counts = await shares();
      return counts.size === 3 && !counts.has(null) && Math.min(...counts.values()) > 5;
    });

    const ids = [0, 1, 2].flatMap((round) => appendForAll(all.opens[round] as OpenOutbox, round));
    await Promise.all(opens.map(({ outbox }) => outbox.stored()));
    expect((await takeAll(ids, ...opens)).toSorted()).toEqual(ids.toSorted());
  });

  it("go on with what a process that died was reading, from where it was", async () => {
    const prefix = freshPrefix();
    await using doomed = openOutbox(server.endpoint, { prefix, leaseMs: 1_000 });
    await untilRead(server, prefix);
    const first = appendForAll(doomed, 0);
    await doomed.outbox.stored();
    expect(new Set(await takeAll(first, doomed))).toEqual(new Set(first));
    const second = appendForAll(doomed, 1);
    await doomed.outbox.stored();
    // Read, perhaps delivered, and never acknowledged.
    const underWay = await doomed.outbox.read("one", 10);
    // As a process that was killed: it says nothing any more.
    await doomed.redis.close();

    await using heir = openOutbox(server.endpoint, { prefix, leaseMs: 1_000 });
    const taken = await takeAll(second, heir);
    expect(new Set(taken)).toEqual(new Set(second));
    expect(taken).toEqual(expect.arrayContaining(underWay?.events.map(({ id }) => id) ?? []));
  });

  it("take nothing away that another one is to deliver, when they come back from a standstill", async () => {
    const prefix = freshPrefix();
    await using proxy = await startTcpProxy(server.port);
    await using stopped = openOutbox(proxy.endpoint, { prefix });
    await untilRead(server, prefix);
    appendForAll(stopped, 0);
    await stopped.outbox.stored();
    const old = await stopped.outbox.read("one", 1_000);
    proxy.pass("none");
    await using other = openOutbox(server.endpoint, { prefix, leaseMs: 3_000 });
    // The other one has the shards by now, and has delivered nothing yet.
    await until(async () => (await other.outbox.read("one", 1_000))?.events.length === 64);
    await proxy.refuse();
    await proxy.accept();
    proxy.pass("both");
    await until(async () => stopped.redis.client.status === "ready");
    await until(() =>
      (old?.acknowledge() ?? Promise.resolve()).then(
        () => true,
        () => false,
      ),
    );

    const ids = actors.map(({ id }) => `0.${id}`);
    const shards = createQuotaKeys(prefix).shards;
    const left = await Promise.all(shards.map(({ outbox }) => server.client.xlen(outbox)));
    expect(left.reduce((sum, length) => sum + length, 0)).toBe(64);
    expect(new Set(await takeAll(ids, other, stopped))).toEqual(new Set(ids));
  });

  it("deliver every event again under the same id when they die between delivery and acknowledgement, fifty times", async () => {
    const prefix = freshPrefix();
    const writer = openOutbox(server.endpoint, { prefix });
    const ids = [0, 1].flatMap((round) => appendForAll(writer, round));
    await writer.outbox.stored();
    await writer[Symbol.asyncDispose]();
    const seen = new Map<string, string>();
    let deliveries = 0;
    const note = (events: readonly UsageEvent[] = []): void => {
      for (const event of events) {
        deliveries++;
        const text = JSON.stringify(event);
        expect(seen.get(event.id) ?? text).toBe(text);
        seen.set(event.id, text);
      }
    };
    for (let round = 0; round < 50; round++) {
      await using reader = openOutbox(server.endpoint, { prefix });
      let batch: Awaited<ReturnType<typeof reader.outbox.read>>;
      await until(
        async () =>
          (batch = await reader.outbox.read("one", 5).catch(() => undefined)) !== undefined || seen.size === ids.length,
      );
      note(batch?.events);
      if (round % 2 === 1) await batch?.acknowledge();
    }
    await using last = openOutbox(server.endpoint, { prefix });
    await until(async () => {
      const batch = await last.outbox.read("one", 100);
      note(batch?.events);
      await batch?.acknowledge();
      return seen.size === ids.length && batch === undefined;
    });
    expect([...seen.keys()].toSorted()).toEqual(ids.toSorted());
    expect(deliveries).toBeGreaterThan(ids.length);
  });
});

describe("an outbox whose Redis is away", () => {
  it("keeps what is appended meanwhile, as much as it may, and says what it loses", async () => {
    await using own = await startDurableRedis();
    const prefix = freshPrefix();
    await using open = openOutbox(own.endpoint, { prefix, maxBuffered: 100, leaseMs: 3_000 });
    const { lost, outbox, append } = useOutbox(open.outbox);
    await untilRead(own, prefix);
    await append("before");
    await own.kill();
    for (let i = 0; i < 150; i++) outbox.append(makeEvent({ id: `${i}` }));
    await until(async () => lost["one"] === 50);
    expect(outbox.full()).toBe(true);

    await own.start();
    await own.ready();
    const ids = ["before", ...Array.from({ length: 100 }, (_, i) => `${i}`)];
    expect(await takeAll(ids, open)).toEqual(ids);
    expect(lost).toEqual({ one: 50 });
  });

  it("says at its end what could not be stored", async () => {
    await using own = await startRedis();
    await using open = openOutbox(own.endpoint, { prefix: freshPrefix() });
    const { lost, outbox } = useOutbox(open.outbox);
    await own.kill();
    for (let i = 0; i < 7; i++) outbox.append(makeEvent());
    await outbox.close();
    expect(lost).toEqual({ one: 7 });
  });

  it("reads on after a failover, also what a replica had not heard was delivered", async () => {
    await using primary = await startRedis();
    await using replica = await startReplica(primary);
    const prefix = freshPrefix();
    await using proxy = await startTcpProxy(primary.port);
    await using open = openOutbox(proxy.endpoint, { prefix });
    await untilRead(primary, prefix);
    const ids = appendForAll(open, 0);
    await open.outbox.stored();
    await until(
      async () => (await replica.client.exists(...createQuotaKeys(prefix).shards.map(({ outbox }) => outbox))) > 20,
    );
    // From here on the replica hears nothing.
    await replica.client.replicaof("NO", "ONE");
    await takeAll(ids, open);
    await proxy.refuse();
    await using after = openOutbox(replica.endpoint, { prefix });
    const again = appendForAll(after, 1);
    await after.outbox.stored();

    expect(new Set(await takeAll([...ids, ...again], after))).toEqual(new Set([...ids, ...again]));
  });
});

function disposable(opens: readonly OpenOutbox[]) {
  return {
    opens,
    async [Symbol.asyncDispose]() {
      for (const open of opens) await open[Symbol.asyncDispose]();
    },
  };
}
