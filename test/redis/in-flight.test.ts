// Limits in flight over several gateways, judged by what the upstream saw at the same time; and that slots come back.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { endUserOf, startFleet, tokenOf, usageOf } from "../helpers/processes.js";
import { startRedis, until } from "../helpers/redis.js";
import { abortedStream, type Leaving, leavings } from "./leaving.js";

it("400 streams at once over 4 gateways: never more than 5 at the upstream, and 5 most of the time", async () => {
  const limit = 5;
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 4,
    actors: { busy: [{ inFlight: limit }] },
    upstream: { behaviour: { chunks: 4, everyMs: 15 } },
  });
  const { upstream, gateways } = fleet;
  let left = 400;
  const samples: number[] = [];
  const stream = async (index: number): Promise<void> => {
    for (;;) {
      const { status } = (await gateways[index % 4]?.chat("busy", { stream: true })) ?? {};
      if (status === 200) break;
      // Processes that have just started and share two cores may be late to read what Redis answered.
      expect([429, 503]).toContain(status);
      await sleep(20 + Math.random() * 60);
    }
    left--;
  };
  const watch = async (): Promise<void> => {
    // While enough streams want a slot.
    for (; left > 40; await sleep(5)) samples.push(upstream.inFlight(endUserOf("busy")));
  };
  await Promise.all([watch(), ...Array.from({ length: 400 }, (_, index) => stream(index))]);

  expect(upstream.count(endUserOf("busy"))).toBe(400);
  expect(upstream.highWater(endUserOf("busy"))).toBe(limit);
  const mean = samples.reduce((sum, each) => sum + each, 0) / samples.length;
  expect(mean).toBeGreaterThan(limit / 2);
  await until(async () =>
    (await Promise.all(gateways.map((each) => usageOf(each, "busy")))).every(({ inFlight }) => inFlight === 0),
  );
}, 60_000);

it("300 streams that their callers leave, in every way and at any moment, hold no slot afterwards", async () => {
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: { leaving: [{ inFlight: 1_000 }] },
    upstream: { behaviour: { chunks: 20, everyMs: 5 } },
  });
  const { upstream, gateways } = fleet;
  const all = Array.from({ length: 300 }, (_, i): [Leaving, number] => [leavings[i % leavings.length] as Leaving, i]);
  const batches = Array.from({ length: 10 }, (_, i) => all.slice(30 * i, 30 * i + 30));
  for (const batch of batches)
    await Promise.all(
      batch.map(([leaving, i]) =>
        abortedStream(gateways[i % 2]?.port ?? 0, tokenOf("leaving"), leaving, Math.random() * 120),
      ),
    );

  expect(upstream.count()).toBeGreaterThan(200);
  await until(async () => upstream.inFlight() === 0);
  for (const gateway of gateways) await until(async () => (await usageOf(gateway, "leaving")).inFlight === 0);
}, 60_000);
