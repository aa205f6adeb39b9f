// Several processes of one gateway: one port, the same limits. And a Redis as it should not be, and a full one.

import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { defineScript } from "../../src/lib/redis-runs.js";
import { quotaScripts } from "../../src/quota/scripts.js";
import { endUserOf, type GatewayProcess, startFleet, usageOf } from "../helpers/processes.js";
import { type RedisServer, startMonitor, startRedis, until } from "../helpers/redis.js";

const patient = { CODY_GATEWAY_REDIS_TIMEOUT: "5s" };

it("workers share the port and the limits, and one that dies is replaced without anybody getting more", async () => {
  const limit = 60;
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    actors: { acme: [{ limit, per: "24h" }] },
    // Long: what the one that dies had admitted stays counted to the end of the test.
    env: { ...patient, CODY_GATEWAY_WORKERS: "2", CODY_GATEWAY_QUOTA_LEASE: "5m" },
  });
  const [gateway] = fleet.gateways as [GatewayProcess];
  const sent = (): number => fleet.upstream.count(endUserOf("acme"));
  await until(async () => (await childrenOf(gateway.pid)).length === 2);
  const workers = await childrenOf(gateway.pid);
  const first = await Promise.all(Array.from({ length: 20 }, () => gateway.chat("acme")));
  expect(first.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
  // Whichever worker is asked tells of all.
  await until(async () => (await gateway.metric("cody_gateway_quota_decisions_total", 'decision="admitted"')) === 20);

  process.kill(workers[0] as number, "SIGKILL");
  // Once that is known: before, the one that accepts for all may have handed it a connection.
  await until(async () => gateway.log.includes("worker ended, another one is started"));
  const storm = Promise.all(
    Array.from({ length: 100 }, async () => {
      for (;;) {
        // Who was connected to the one that died comes again.
        const answer = await gateway.chat("acme").catch(() => undefined);
        if (answer && answer.status !== 503) return answer.status;
      }
    }),
  );
  await until(async () => {
    const now = await childrenOf(gateway.pid);
    return now.length === 2 && !now.includes(workers[0] as number);
  });
  const statuses = await storm;
  expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(100 - (limit - 20));
  expect(sent()).toBeLessThanOrEqual(limit);
  expect((await usageOf(gateway, "acme")).used).toBe(limit);
  // Each of the others decides by the same count.
  const last = await Promise.all(Array.from({ length: 30 }, () => gateway.chat("acme")));
  expect(new Set(last.map(({ status }) => status))).toEqual(new Set([429]));
  // Redis without a file was said to be a risk.
  expect(gateway.log).toMatch(/"warning":"Redis [^"]*set appendonly yes/);
}, 120_000);

it("a caller who hammers costs Redis nothing, and Redis that forgets its scripts costs nobody anything", async () => {
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    actors: { acme: [{ limit: 5, per: "24h" }], other: [{ limit: 100, per: "24h" }] },
    env: patient,
  });
  const [gateway] = fleet.gateways as [GatewayProcess];
  for (let i = 0; i < 5; i++) {
    await redis.client.script("FLUSH");
    expect((await gateway.chat("acme")).status).toBe(200);
  }
  // What may still be given back is asked for again.
  await until(async () => (await heldIn(redis)) === 0);
  expect((await gateway.chat("acme")).status).toBe(429);

  const { sha } = defineScript(quotaScripts().reserve);
  await using monitor = await startMonitor(redis);
  const reserved = (actor: string): number =>
    monitor.commands.filter(
      ([name, script, ...args]) =>
        name?.toLowerCase() === "evalsha" && script === sha && args.some((arg) => arg.includes(actor)),
    ).length;
  const refused = await Promise.all(Array.from({ length: 200 }, () => gateway.chat("acme")));
  expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
  // What others ask is seen, and comes after what was asked before.
  expect((await gateway.chat("other")).status).toBe(200);
  await until(async () => reserved("other") > 0);
  expect([reserved("acme"), reserved("other")]).toEqual([0, 1]);
  expect(fleet.upstream.count(endUserOf("acme"))).toBe(5);
});

it("a Redis that is full admits nobody, and what was admitted is still settled", async () => {
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    actors: { acme: [{ limit: 100, per: "24h" }] },
    env: patient,
  });
  const [gateway] = fleet.gateways as [GatewayProcess];
  const { upstream } = fleet;
  upstream.holdAll();
  const underWay = Array.from({ length: 10 }, (_, i) => gateway.chat("acme", { stream: i % 2 === 0 }));
  await until(async () => upstream.inFlight() === 10);
  await redis.client.config("SET", "maxmemory", "1mb");
  const refused = await gateway.chat("acme");
  expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
  upstream.release();
  expect(new Set((await Promise.all(underWay)).map(({ status }) => status))).toEqual(new Set([200]));
  await until(async () => (await heldIn(redis)) === 0);

  await redis.client.config("SET", "maxmemory", "0");
  await until(async () => (await gateway.chat("acme")).status === 200);
  expect(await usageOf(gateway, "acme")).toEqual({ used: 11, inFlight: 0 });
  expect(upstream.count()).toBe(11);
});

/** What is kept of requests that are under way. */
async function heldIn({ client }: RedisServer): Promise<number> {
  const keys = await client.keys("cody-gateway:*:holds");
  return (await Promise.all(keys.map((key) => client.hlen(key)))).reduce((a, b) => a + b, 0);
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}
