// Limits in flight over several gateways, judged by what the upstream saw at the same time; and that slots come back.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { endUserOf, type GatewayProcess, startFleet, tokenOf, usageOf } from "../helpers/processes.js";
import { startRedis, until } from "../helpers/redis.js";
import { abortedStream, leavings } from "./leaving.js";

it("of 400 streams at once over 4 gateways exactly 5 reach the upstream, and who leaves is soon replaced", async () => {
  const limit = 5;
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 4,
    actors: { busy: [{ inFlight: limit }] },
    upstream: { behaviour: { chunks: 4, everyMs: 150 } },
  });
  const { upstream, gateways } = fleet;
  const busy = endUserOf("busy");
  let over = false;
  let answered = 0;
  const ask = async (index: number): Promise<number> => {
    let status = 503;
    // Machines with more to do than they can may keep Redis from answering in time: then nothing is held.
    while (status === 503) ({ status } = await (gateways[index % 4] as GatewayProcess).chat("busy", { stream: true }));
    answered++;
    return status;
  };

  // The first stay as long as they are held: all others are refused meanwhile.
  upstream.holdAll();
  const all = Array.from({ length: 400 }, (_, index) => ask(index));
  await until(async () => answered === 400 - limit);
  expect([upstream.inFlight(busy), upstream.count(busy)]).toEqual([limit, limit]);
  upstream.release();
  const statuses = await Promise.all(all);
  expect(statuses.filter((status) => status === 200)).toHaveLength(limit);
  expect(new Set(statuses)).toEqual(new Set([200, 429]));

  // And now they come again and again, as those do who were told to.
  const comeAgain = async (index: number): Promise<void> => {
    for (await sleep(Math.random() * 1_000); !over; await sleep(500 + Math.random() * 1_000)) await ask(index);
  };
  const callers = Array.from({ length: 400 }, (_, index) => comeAgain(index));
  await until(async () => upstream.inFlight(busy) === limit);
  const samples: number[] = [];
  for (const end = performance.now() + 3_000; performance.now() < end; await sleep(5))
    samples.push(upstream.inFlight(busy));
  over = true;
  await Promise.all(callers);

  expect(upstream.highWater(busy)).toBe(limit);
  // Streams take 0.6 s: this much is missed when a free slot is known only after as long again.
  const mean = samples.reduce((sum, each) => sum + each, 0) / samples.length;
  expect(mean).toBeGreaterThan(limit / 2);
  for (const gateway of gateways) await until(async () => (await usageOf(gateway, "busy")).inFlight === 0);
}, 60_000);

it("streams that their callers leave, in every way and at any byte, hold no slot afterwards", async () => {
  const streams = 20 * leavings.length;
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: { leaving: [{ limit: 100_000, per: "24h" }, { inFlight: 1_000 }] },
    upstream: { behaviour: { chunks: 20, everyMs: 5 } },
  });
  const { upstream, gateways } = fleet;
  const token = tokenOf("leaving");
  let next = 0;
  let begun = 0;
  const leaveOneAfterAnother = async (): Promise<void> => {
    while (next < streams) {
      const index = next++;
      const leaving = leavings[index % leavings.length] as (typeof leavings)[number];
      const afterBytes = index % 10 === 0 ? 0 : Math.floor(Math.random() * 3_000);
      const deadlineMs = 20 + Math.floor(Math.random() * 100);
      const port = gateways[Math.floor(index / leavings.length) % 2]?.port ?? 0;
      if ((await abortedStream({ port, token, leaving, afterBytes, deadlineMs })) > 0) begun++;
    }
  };
  await Promise.all(Array.from({ length: 40 }, leaveOneAfterAnother));

  expect(begun).toBeGreaterThan(streams / 4);
  await until(async () => upstream.inFlight() === 0);
  for (const gateway of gateways) await until(async () => (await usageOf(gateway, "leaving")).inFlight === 0);
  // Each that came to the route is told of once, and what is counted is what is told of as charged.
  const sum = async (metric: string) =>
    (await Promise.all(gateways.map((gateway) => gateway.metric(metric)))).reduce<number>((a, b = 0) => a + b, 0);
  await until(async () => (await sum("cody_gateway_requests_in_flight")) === 0);
  const ended = await sum("cody_gateway_request_duration_seconds_count");
  // An event may be delivered twice, under one id.
  const byId = async () => new Map((await fleet.events()).map((event) => [event.id, event]));
  await until(async () => (await byId()).size >= ended);
  const events = await byId();
  expect(events.size).toBe(ended);
  const charged = [...events.values()].filter((event) => event.charged).length;
  expect((await usageOf(gateways[0] as GatewayProcess, "leaving")).used).toBe(charged);
  expect(charged).toBeGreaterThan(0);
  // To be left is no failure of ours.
  for (const gateway of gateways) expect(gateway.log).not.toContain("request failed");
}, 60_000);
