// Whole gateways while Redis is away in one way or another: what callers, probes and operators see, and what is counted.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { type Answer, endUserOf, type Fleet, type GatewayProcess, startFleet, usageOf } from "../helpers/processes.js";
import { type RedisServer, startRedis, until } from "../helpers/redis.js";
import { startTcpProxy, type TcpProxy } from "../helpers/tcp-proxy.js";

interface Stage extends AsyncDisposable {
  readonly redis: RedisServer;
  /** Between the gateways and Redis. */
  readonly proxy: TcpProxy;
  readonly fleet: Fleet;
  readonly gateway: GatewayProcess;
}

const wide = [{ limit: 1_000, per: "24h" }];

async function stage(
  options: { gateways?: number; file?: object; actors?: Record<string, object[]> } = {},
): Promise<Stage> {
  const redis = await startRedis("--appendonly", "yes", "--appendfsync", "always");
  const proxy = await startTcpProxy(redis.port);
  const fleet = await startFleet({ redis: proxy.endpoint, actors: { acme: wide }, ...options });
  const [gateway] = fleet.gateways as [GatewayProcess];
  // Warm: what the first request of a process costs is no answer of Redis.
  await Promise.all(fleet.gateways.map((each) => each.chat("acme")));
  return {
    redis,
    proxy,
    fleet,
    gateway,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** One request every `everyMs`, each on its own, for so long. */
async function steadily(gateway: GatewayProcess, forMs: number, everyMs = 20): Promise<readonly Answer[]> {
  const answers: Promise<Answer>[] = [];
  for (const end = performance.now() + forMs; performance.now() < end; await sleep(everyMs))
    answers.push(gateway.chat("acme"));
  return Promise.all(answers);
}

/** How long it takes until a request is served, and how many were not before. */
async function untilServed(gateway: GatewayProcess): Promise<{ tookMs: number; refused: number }> {
  const start = performance.now();
  let refused = -1;
  await until(async () => {
    refused++;
    return (await gateway.chat("acme")).status === 200;
  });
  return { tookMs: performance.now() - start, refused };
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/**
 * Bounds for a machine that has other things to do, far below what a call would take that waits for Redis, and a connection
 * that is made anew ever more rarely. The figures themselves are measured by `npm run test:soak`.
 */
const atOnceMs = 100;
const waitedMs = 700;
const soonMs = 3_000;

const faults: readonly { readonly name: string; begin(on: Stage): unknown; end(on: Stage): unknown }[] = [
  { name: "stopped in its tracks", begin: ({ redis }) => redis.freeze(), end: ({ redis }) => redis.thaw() },
  { name: "refusing connections", begin: ({ proxy }) => proxy.refuse(), end: ({ proxy }) => proxy.accept() },
  {
    name: "behind a network that swallows everything",
    begin: ({ proxy }) => proxy.pass("none"),
    end: ({ proxy }) => proxy.pass("both"),
  },
  {
    name: "a listener that says nothing",
    begin({ proxy }) {
      proxy.pass("none");
      proxy.reset();
    },
    end: ({ proxy }) => proxy.pass("both"),
  },
  { name: "crashed and started again", begin: ({ redis }) => redis.kill(), end: ({ redis }) => redis.start() },
];

it.each(faults)(
  "Redis $name: 503 in bounded time, said to probes and operators, and normal soon after",
  async (fault) => {
    await using on = await stage();
    const { gateway, fleet } = on;
    const before = fleet.upstream.count();
    await fault.begin(on);

    // Those under way when it happens wait for the timeout; once that is known nobody waits.
    const [first, readiness] = await Promise.all([
      steadily(gateway, 1_000),
      sleep(600).then(async () => ({
        ready: (await gateway.get("/readyz")).status,
        alive: (await gateway.get("/livez")).status,
        up: await gateway.metric("cody_gateway_quota_store_up"),
      })),
    ]);
    const later = await steadily(gateway, 400);

    expect(new Set([...first, ...later].map(({ status }) => status))).toEqual(new Set([503]));
    for (const { headers } of [...first, ...later]) expect(Number(headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(Math.max(...first.map(({ tookMs }) => tookMs))).toBeLessThan(waitedMs);
    expect(median(later.map(({ tookMs }) => tookMs))).toBeLessThan(atOnceMs);
    expect(readiness).toEqual({ ready: 503, alive: 200, up: 0 });
    expect(fleet.upstream.count()).toBe(before);

    await fault.end(on);
    await on.redis.ready();
    const { tookMs, refused } = await untilServed(gateway);
    expect(tookMs).toBeLessThan(soonMs);
    await gateway.ready();
    expect(await gateway.metric("cody_gateway_quota_store_up")).toBe(1);
    // What timed out is not charged later.
    const served = fleet.upstream.count();
    await until(async () => (await usageOf(gateway, "acme")).used === served);
    expect(await gateway.metric("cody_gateway_quota_decisions_total", 'decision="unavailable"')).toBe(
      first.length + later.length + refused,
    );
  },
);

it("with allow:3, exactly 3 pass blind for each process and actor, and are charged once Redis is back", async () => {
  await using on = await stage({
    gateways: 2,
    actors: { acme: wide, other: [{ limit: 2, per: "24h" }] },
    file: { quotaStoreFailure: { chat_completions: "allow:3" } },
  });
  const { fleet, redis } = on;
  redis.freeze();
  const statuses = async (actor: string): Promise<number[]> => {
    const answers = fleet.gateways.map((gateway) => Promise.all(Array.from({ length: 10 }, () => gateway.chat(actor))));
    return (await Promise.all(answers)).flatMap((of) => of.map(({ status }) => status).toSorted((a, b) => a - b));
  };
  const passing3Of10 = [200, 200, 200, ...Array.from({ length: 7 }, () => 503)];

  expect(await statuses("acme")).toEqual([...passing3Of10, ...passing3Of10]);
  expect(await statuses("other")).toEqual([...passing3Of10, ...passing3Of10]);
  expect(await statuses("acme")).toEqual(Array.from({ length: 20 }, () => 503));
  expect(fleet.upstream.count(endUserOf("other"))).toBe(6);

  redis.thaw();
  const [gateway] = on.fleet.gateways as [GatewayProcess];
  await until(() => gateway.ready().then(() => true));
  await until(async () => (await usageOf(gateway, "acme").catch(() => undefined))?.used === 2 + 6);
  // More than the limit: what was let in blind is a debt.
  await until(async () => (await usageOf(gateway, "other").catch(() => undefined))?.used === 6);
  expect(await Promise.all(fleet.gateways.map(async (each) => (await each.chat("other")).status))).toEqual([429, 429]);
});

it("answers that are lost and connections that break charge nothing twice, and nothing that was not sent", async () => {
  await using on = await stage();
  const { proxy, gateway, fleet } = on;
  const lost: number[] = [];
  for (let round = 0; round < 3; round++) {
    proxy.pass("requests", { newToo: false });
    const answers = await Promise.all(Array.from({ length: 20 }, () => gateway.chat("acme")));
    lost.push(...answers.map(({ status }) => status));
    proxy.reset();
    await untilServed(gateway);
  }
  expect(new Set(lost)).toEqual(new Set([503]));
  const served = fleet.upstream.count();
  await until(async () => (await usageOf(gateway, "acme")).used === served);

  // The answer to the settlement gets lost.
  fleet.upstream.holdAll();
  const underWay = Array.from({ length: 10 }, () => gateway.chat("acme"));
  await until(async () => fleet.upstream.count() === served + 10);
  proxy.pass("requests", { newToo: false });
  fleet.upstream.release();
  const answers = await Promise.all(underWay);
  proxy.reset();
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  await untilServed(gateway);
  const { upstream } = fleet;
  await until(async () => (await usageOf(gateway, "acme")).used === upstream.count());
  // Nor later, when everything that was tried again has been.
  await sleep(1_500);
  expect((await usageOf(gateway, "acme")).used).toBe(upstream.count());
});
