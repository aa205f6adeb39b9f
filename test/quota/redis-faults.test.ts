import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { UnavailableError } from "../../src/errors.js";
import { type RedisServer, replicated, startDurableRedis, startRedis, startReplica, until } from "../helpers/redis.js";
import {
  endsAtOnce,
  givenUpMs,
  openStore,
  patientMs,
  slots,
  soonMs,
  units,
  untilOpen,
  untilServed,
} from "../helpers/redis-quota.js";
import { timed } from "../helpers/timed.js";

type Change = (server: RedisServer) => unknown;

const yes = (): boolean => true;
const no = (): boolean => false;

const away = { name: "UnavailableError", reason: "QUOTA_STORE_UNAVAILABLE" };

describe.concurrent("a Redis quota store whose server stands still", () => {
  it("charges nothing for calls that were given up, once the server goes on", async () => {
    await using server = await startRedis();
    const prefix = `${randomUUID()}:`;
    await using open = await openStore(server.endpoint, { prefix });
    await using patient = await openStore(server.endpoint, { prefix, timeoutMs: patientMs, actor: open.actor });
    const held = await patient.hold([units(1_000, { amount: 3 })]);
    // How well the server's clock is known says how closely what comes late is told: as well as by the fastest of these.
    for (let call = 0; call < 20; call++) await open.used(units(1_000));
    server.freeze();
    const calls = [
      ...Array.from({ length: 200 }, () => open.reserve([units(1_000), slots(1_000)])),
      open.commit(held, { units: 100 }),
      open.refund(held),
    ];
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.every(({ status }) => status === "rejected")).toBe(true);
    server.thaw();
    await untilServed(open);
    expect([await patient.used(units(1_000)), await patient.used(slots(1_000))]).toEqual([3, 0]);
    expect(await patient.commit(held, { units: 2 })).toMatchObject({ kind: "settled", states: [{ used: 2 }] });
  });

  it("lets no call wait longer than its timeout, and none at all once that is known", async () => {
    await using server = await startRedis();
    await using open = await openStore(server.endpoint);
    server.freeze();
    const first = await Promise.all(Array.from({ length: 10 }, () => timed(() => open.reserve([units(1)]))));
    for (const { error, tookMs } of first) {
      expect(error).toBeInstanceOf(UnavailableError);
      expect(tookMs).toBeLessThanOrEqual(givenUpMs);
    }
    for (const call of [
      () => open.reserve([units(1)]),
      () => open.commit(randomUUID()),
      () => open.refund(randomUUID()),
      () => open.used(units(1)),
      () => open.store.renew([{ actor: open.actor, requestId: "1", reached: true }]),
      () => open.store.reset(open.actor, ["units"]),
      () => open.store.reap(1),
    ]) {
      expect(await endsAtOnce(call)).toBe(true);
      await expect(call()).rejects.toMatchObject(away);
    }
  });

  it.each([300, 1_500])("is back within a second after %i ms of standstill", async (ms) => {
    await using server = await startRedis();
    await using open = await openStore(server.endpoint);
    server.freeze();
    await untilOpen(open);
    await sleep(ms);
    server.thaw();
    expect(await untilServed(open)).toBeLessThan(soonMs);
    expect(open.ups).toEqual([true, false, true]);
  });

  it("is known to stand still soon after a single call that got no answer", async () => {
    await using server = await startRedis();
    await using open = await openStore(server.endpoint);
    server.freeze();
    await expect(open.reserve([units(1)])).rejects.toMatchObject(away);
    const { tookMs } = await timed(() => until(async () => !open.store.state().up));
    // Far from the three seconds that it takes when nobody calls.
    expect(tookMs).toBeLessThan(2_500);
  });

  it.each([
    ["stood still", (server: RedisServer) => server.freeze(), (server: RedisServer) => server.thaw()],
    ["was killed", (server: RedisServer) => server.kill(), (server: RedisServer) => server.start()],
  ])("takes no hold for abandoned that could not be renewed while it %s", async (_, begin: Change, end: Change) => {
    const times = { leaseMs: 5_000, timeoutMs: 1_000 };
    // As one whose disk is slow: what was answered is written all the same.
    await using server = await startDurableRedis("--appendfsync", "always");
    const prefix = `${randomUUID()}:`;
    const actor = `test:${randomUUID()}`;
    await using one = await openStore(server.endpoint, { prefix, actor, ...times });
    await using other = await openStore(server.endpoint, { prefix, actor, ...times });
    const rules = [units(10), slots(2)];
    const [alive, dead] = [await one.hold(rules), await one.hold(rules)];
    await begin(server);
    // One that starts only now.
    await using late = await openStore(server.endpoint, { prefix, actor, ...times, waits: false });
    await sleep(times.leaseMs + 100);
    await end(server);

    // Whoever comes first: the slots are still in use.
    await Promise.all([other, late, one].map((open) => untilServed(open)));
    for (const open of [other, late, one]) expect(await open.used(slots(2))).toBe(2);
    expect(await other.store.reap(10)).toEqual([]);
    expect((await late.reserve(rules)).kind).toBe("refused");
    expect(await one.commit(alive, { units: 3 })).toMatchObject({
      kind: "settled",
      states: [{ used: 4 }, { used: 1 }],
    });
    // And what nobody comes for is given back all the same.
    const abandoned: string[] = [];
    await until(async () => {
      abandoned.push(...(await other.store.reap(10)).map(({ requestId }) => requestId));
      return abandoned.includes(dead);
    });
    expect(abandoned).not.toContain(alive);
    expect([await other.used(units(10)), await other.used(slots(2))]).toEqual([3, 0]);
  });

  it("notices by itself, also when nobody calls", async () => {
    await using server = await startRedis();
    await using open = await openStore(server.endpoint);
    server.freeze();
    await until(async () => !open.store.state().up);
    server.thaw();
    await until(async () => open.store.state().up);
  });
});

describe.concurrent("a Redis quota store whose server forgets its scripts", () => {
  it("goes on without an error", async () => {
    await using server = await startRedis();
    await using open = await openStore(server.endpoint, { timeoutMs: patientMs });
    const over = new AbortController();
    const flushing = (async () => {
      let times = 0;
      for (; !over.signal.aborted; times++) {
        await server.client.script("FLUSH");
        await sleep(1);
      }
      return times;
    })();
    const requests = Array.from({ length: 20 }, async () => {
      for (let i = 0; i < 25; i++) await open.commit(await open.hold([units(10_000)]));
    });
    await Promise.all(requests).finally(() => over.abort());
    expect(await flushing).toBeGreaterThan(10);
    expect(await open.used(units(10_000))).toBe(500);
  });
});

describe.concurrent("a Redis quota store whose server says that it cannot", () => {
  const states: readonly State[] = [
    {
      what: "is a replica",
      said: /READONLY/,
      begin: (client) => client.replicaof("127.0.0.1", 1),
      end: (client) => client.replicaof("NO", "ONE"),
    },
    {
      what: "wants another password",
      said: /NOAUTH/,
      async begin(client) {
        await client.config("SET", "requirepass", "changed");
        await client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      },
      end: (client) => client.config("SET", "requirepass", ""),
    },
    {
      what: "has too few replicas",
      said: /NOREPLICAS/,
      begin: (client) => client.config("SET", "min-replicas-to-write", "1"),
      end: (client) => client.config("SET", "min-replicas-to-write", "0"),
    },
    {
      what: "runs somebody else's script",
      said: /BUSY/,
      async begin(client) {
        const other = client.duplicate({ lazyConnect: false });
        other.eval("while true do end", 0).catch(() => other.disconnect());
        await sleep(60);
      },
      end: (client) => client.script("KILL"),
    },
  ];

  it.each(states)("is away while it $what, and back within a second", async ({ said, begin, end }) => {
    await using server = await startRedis("--busy-reply-threshold", "20");
    await using open = await openStore(server.endpoint);
    await begin(server.client);
    await untilOpen(open);
    const error = await open.reserve([units(1)]).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject(away);
    // A server that does not let us in says so when we connect.
    await until(async () => said.test(`${causes(error)}${JSON.stringify(open.log.lines)}`));
    await end(server.client);
    expect(await untilServed(open)).toBeLessThan(soonMs);
  });

  it("is not away because of one actor's damaged data", async () => {
    const prefix = `${randomUUID()}:`;
    await using server = await startRedis();
    await using open = await openStore(server.endpoint, { prefix, timeoutMs: patientMs });
    await using other = await openStore(server.endpoint, { prefix, timeoutMs: patientMs });
    await open.hold([units(1_000)]);
    const [key] = await server.client.keys(`${prefix}*:counters`);
    await server.client.set(String(key), "damaged");
    for (let i = 0; i < 15; i++) {
      await expect(open.reserve([units(1_000)])).rejects.toMatchObject(away);
      expect((await other.reserve([units(1_000)])).kind).toBe("admitted");
    }
    expect(open.store.state().up).toBe(true);
    expect(open.log.lines).toContainEqual(expect.objectContaining({ level: "error", message: "quota script failed" }));
  });
});

describe.concurrent("a Redis quota store whose server is full", () => {
  it("refuses admissions as being away, and still ends what was admitted", async () => {
    await using server = await startRedis();
    await using open = await openStore(server.endpoint, { leaseMs: 5_000, timeoutMs: patientMs });
    const rules = [units(100), slots(100)];
    const [committed, refunded, renewed, forgotten] = await Promise.all([1, 2, 3, 4].map(() => open.hold(rules)));
    await server.client.config("SET", "maxmemory", "1mb");
    await expect(open.reserve(rules)).rejects.toMatchObject({ ...away, cause: { reason: "refused" } });

    await open.store.renew([{ actor: open.actor, requestId: renewed as string, reached: true }]);
    expect(await open.commit(committed as string)).toMatchObject({ kind: "settled" });
    expect(await open.refund(refunded as string)).toMatchObject({ kind: "settled" });
    const abandoned: string[] = [];
    await until(async () => {
      abandoned.push(...(await open.store.reap(10)).map(({ requestId }) => requestId));
      return abandoned.length === 2;
    });
    expect(new Set(abandoned)).toEqual(new Set([renewed, forgotten]));

    await server.client.config("SET", "maxmemory", "0");
    await untilServed(open);
    expect([await open.used(units(100)), await open.used(slots(100))]).toEqual([2, 0]);
  });
});

describe.concurrent("a Redis quota store whose server is killed", () => {
  it("counts exactly what was asked, when it comes back with its append-only file", async () => {
    await using server = await startDurableRedis();
    await using open = await openStore(server.endpoint, { timeoutMs: 500 });
    const limit = units(1_000_000);
    const ids = Array.from({ length: 400 }, () => randomUUID());
    let answered = 0;
    const attempt = async (id: string): Promise<void> => {
      await open.reserve([limit, slots(1_000)], id);
      answered++;
      await open.commit(id, { units: 3 });
    };
    const dying = new EventEmitter();
    const dies = once(dying, "now");
    const first = Promise.allSettled(
      ids.map(async (id, index) => {
        // However fast it is, not all are answered before it dies.
        await (index < 300 ? sleep(index / 4) : dies);
        await attempt(id);
      }),
    );
    await until(async () => answered > 100);
    const killed = server.kill();
    dying.emit("now");
    await killed;
    expect((await first).some(({ status }) => status === "rejected")).toBe(true);

    await server.start();
    await untilServed(open);
    // What is not answered in time is asked again, as whatever came before the kill is: by its id it counts once.
    for (const id of ids) await until(() => attempt(id).then(yes, no));
    expect([await open.used(limit), await open.used(slots(1_000))]).toEqual([3 * ids.length, 0]);
  });

  it("waits for it to load, and is back within a second then", async () => {
    await using server = await startRedis("--save", "");
    await using open = await openStore(server.endpoint);
    await server.client.eval("for i = 1, 600 do redis.call('SET', 'filler' .. i, i) end", 0);
    await server.client.save();
    await server.kill();
    await server.start("--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024");
    const loading = (): Promise<boolean> =>
      server.client.info("persistence").then(
        (info) => info.includes("loading:1"),
        () => false,
      );
    await until(loading);
    await expect(open.reserve([units(1)])).rejects.toMatchObject(away);
    await until(async () => !(await loading()));
    expect(await untilServed(open)).toBeLessThan(soonMs);
  });

  it("goes on with the replica that takes its place, without a restart", async () => {
    await using primary = await startRedis();
    await using replica = await startReplica(primary);
    const prefix = `${randomUUID()}:`;
    await using open = await openStore(replica.endpoint, { prefix, waits: false });
    await using before = await openStore(primary.endpoint, { prefix, timeoutMs: patientMs });
    await before.hold([units(10)]);
    await replicated(primary, replica);
    await expect(open.reserve([units(10)])).rejects.toMatchObject(away);

    await primary.kill();
    await replica.client.replicaof("NO", "ONE");
    expect(await untilServed(open)).toBeLessThan(soonMs);
    expect(await open.store.usage(before.actor, [units(10)])).toMatchObject([{ used: 1, held: 1 }]);
  });
});

interface State {
  readonly what: string;
  /** What the server says then. */
  readonly said: RegExp;
  begin(client: RedisServer["client"]): Promise<unknown>;
  end(client: RedisServer["client"]): Promise<unknown>;
}

/** An error's messages, and those of its causes. */
function causes(error: unknown): string {
  return error instanceof Error ? `${error.message}\n${causes(error.cause)}` : "";
}
