import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UnavailableError } from "../../src/errors.js";
import { type RedisServer, startRedis, until } from "../helpers/redis.js";
import {
  endsAtOnce,
  givenUpMs,
  type OpenStore,
  openStore,
  patientMs,
  soonMs,
  units,
  untilOpen,
  untilServed,
} from "../helpers/redis-quota.js";
import { startTcpProxy, type TcpProxy } from "../helpers/tcp-proxy.js";
import { timed } from "../helpers/timed.js";

const away = { name: "UnavailableError", reason: "QUOTA_STORE_UNAVAILABLE", retryAfterMs: expect.any(Number) };

describe.concurrent("a Redis quota store on a bad network", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** A store that reaches the server through a proxy, and one that reaches it directly, on the same keys. */
  async function throughProxy(options: { timeoutMs?: number; maxInFlight?: number } = {}) {
    const prefix = `${randomUUID()}:`;
    const proxy = await startTcpProxy(server.port);
    const open = await openStore(proxy.endpoint, { prefix, timeoutMs: 500, ...options });
    const direct = await openStore(server.endpoint, { prefix, timeoutMs: patientMs });
    return {
      proxy,
      open,
      /** What the server counts for the store's actor. */
      counted: async () => (await direct.store.usage(open.actor, [units(1_000)]))[0]?.used,
      async [Symbol.asyncDispose]() {
        await open[Symbol.asyncDispose]();
        await direct[Symbol.asyncDispose]();
        await proxy[Symbol.asyncDispose]();
      },
    };
  }

  it("counts once when answers are lost, the connection breaks and the calls are repeated", async () => {
    await using setup = await throughProxy();
    const { proxy, open, counted } = setup;
    const ids = Array.from({ length: 9 }, () => randomUUID());
    proxy.pass("requests");
    const lost = await Promise.allSettled(ids.map((id) => open.reserve([units(1_000)], id)));
    expect(lost.map(({ status }) => status)).toEqual(ids.map(() => "rejected"));
    expect(await counted()).toBe(9);

    proxy.pass("both");
    proxy.reset();
    await untilServed(open);
    expect(await counted()).toBe(9);
    const again = await Promise.all(ids.map((id) => open.reserve([units(1_000)], id)));
    expect(again.map(({ kind }) => kind)).toEqual(ids.map(() => "admitted"));
    expect(await counted()).toBe(9);
  });

  it("settles once when the answer is lost and the call is repeated", async () => {
    await using setup = await throughProxy();
    const { proxy, open, counted } = setup;
    const id = await open.hold([units(1_000, { amount: 5 })]);
    proxy.pass("requests");
    await expect(open.commit(id, { units: 7 })).rejects.toMatchObject(away);
    proxy.pass("both");
    proxy.reset();
    await untilServed(open);
    expect(await open.commit(id, { units: 7 })).toEqual({ kind: "gone" });
    expect(await counted()).toBe(7);
  });

  it("waits for nobody longer than its timeout when the server accepts and says nothing", async () => {
    await using setup = await throughProxy({ timeoutMs: 100 });
    const { proxy, open } = setup;
    proxy.pass("none");
    const first = await Promise.all(Array.from({ length: 10 }, () => timed(() => open.reserve([units(1)]))));
    for (const { error, tookMs } of first) {
      expect(error).toBeInstanceOf(UnavailableError);
      expect(tookMs).toBeLessThanOrEqual(givenUpMs);
    }
    expect(open.store.state().up).toBe(false);
    expect(await endsAtOnce(() => open.reserve([units(1)]))).toBe(true);
    await until(async () => proxy.accepted >= 2);

    proxy.pass("both");
    proxy.reset();
    expect(await untilServed(open)).toBeLessThan(soonMs);
    expect(open.ups).toEqual([true, false, true]);
  });

  it("replaces a connection that is open on one side only", async () => {
    await using setup = await throughProxy();
    const { proxy, open } = setup;
    proxy.pass("none", { newToo: false });
    await expect(open.reserve([units(1)])).rejects.toMatchObject(away);
    // What is silent for a second is given up; then a second as for everything else.
    expect(await untilServed(open)).toBeLessThan(soonMs);
    expect(proxy.accepted).toBe(2);
  });

  it("fails what is under way when the connection is reset, and goes on with a new one", async () => {
    await using setup = await throughProxy({ timeoutMs: 5_000 });
    const { proxy, open } = setup;
    proxy.pass("requests");
    const call = timed(() => open.reserve([units(1)]));
    await until(async () => open.store.state().servers[0]?.inFlight === 1);
    proxy.pass("both");
    proxy.reset();
    const { error, tookMs } = await call;
    expect(error).toMatchObject(away);
    expect(tookMs).toBeLessThan(soonMs);
    expect(await untilServed(open)).toBeLessThan(soonMs);
  });

  it("says at once that it is away while nothing listens, and is back soon when something does", async () => {
    await using setup = await throughProxy();
    const { proxy, open } = setup;
    await proxy.refuse();
    await untilOpen(open);
    expect(await endsAtOnce(() => open.reserve([units(1)]))).toBe(true);
    await proxy.accept();
    expect(await untilServed(open)).toBeLessThan(soonMs);
  });

  it("keeps the cause of what it could not do", async () => {
    await using setup = await throughProxy();
    const { proxy, open } = setup;
    proxy.pass("none");
    const { error } = await timed(() => open.reserve([units(1)]));
    expect(error).toMatchObject({ ...away, cause: { name: "RedisAwayError", reason: "timeout" } });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(open.actor);
  });

  it("takes no more calls than it may have under way", async () => {
    await using setup = await throughProxy({ maxInFlight: 8, timeoutMs: 5_000 });
    const { proxy, open } = setup;
    proxy.pass("requests");
    const waiting = Array.from({ length: 8 }, () => open.reserve([units(1)]).catch(() => "failed"));
    expect(await endsAtOnce(() => open.reserve([units(1)]))).toBe(true);
    await expect(open.reserve([units(1)])).rejects.toMatchObject({ ...away, cause: { reason: "full" } });
    expect(open.store.state().servers[0]?.inFlight).toBe(8);
    proxy.reset();
    await Promise.all(waiting);
    await until(async () => open.store.state().servers[0]?.inFlight === 0);
  });

  it("counts calls that nobody waits for any more as under way", async () => {
    await using setup = await throughProxy({ maxInFlight: 3, timeoutMs: 100 });
    const { proxy, open } = setup;
    proxy.pass("requests");
    await Promise.allSettled([1, 2, 3].map(() => open.reserve([units(1)])));
    await expect(open.reserve([units(1)])).rejects.toMatchObject({ cause: { reason: "full" } });
  });

  it("starts without a server, and serves once there is one", async () => {
    await using proxy: TcpProxy = await startTcpProxy(server.port);
    await proxy.refuse();
    await using open: OpenStore = await openStore(proxy.endpoint, { waits: false });
    await expect(open.reserve([units(1)])).rejects.toMatchObject(away);
    expect(open.store.state().up).toBe(false);
    await proxy.accept();
    await untilServed(open);
    expect(open.store.state().up).toBe(true);
  });
});
