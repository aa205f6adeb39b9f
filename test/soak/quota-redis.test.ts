// The quota store's promises at length: minutes, not seconds.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { type RedisServer, startDurableRedis } from "../helpers/redis.js";
import { type OpenStore, openStore, units } from "../helpers/redis-quota.js";
import { fleetOrders, readOutbox, startWorker, type Worker } from "./quota-fleet.js";
import type { WorkerOrders } from "./quota-worker.js";

const dayMs = 86_400_000;

/** Settles what is left, and holds every actor's counter against what the outbox tells of its requests. */
async function checkBooks(server: RedisServer, store: OpenStore["store"], orders: WorkerOrders): Promise<number> {
  // What the processes sent before they were killed may still be done a little later. And who comes back to a Redis that was away
  // gives what it finds another lease first: one sweep that finds nothing is not the end.
  for (let idle = 0; idle < 2; ) {
    await sleep(orders.leaseMs + 1_000);
    let found = 0;
    for (let more = 1; more > 0; found += more) more = (await store.reap(1_000)).length;
    idle = found > 0 ? 0 : idle + 1;
  }
  const outbox = await readOutbox(server, orders.prefix);
  let ended = 0;
  for (const [actor, { reserved, finished, refunded, abandoned }] of outbox) {
    const ids = [...finished, ...refunded, ...abandoned.map(({ id }) => id)];
    expect(new Set(ids)).toEqual(new Set(reserved));
    expect(ids).toHaveLength(reserved.length);
    const charged = finished.length + abandoned.filter((hold) => hold.charged).length;
    expect(charged).toBeLessThanOrEqual(orders.limit);
    const rule = units(orders.limit, { key: "requests", windowMs: dayMs });
    expect(await store.usage(actor, [rule])).toMatchObject([{ used: charged, held: 0 }]);
    ended += ids.length;
  }
  return ended;
}

it("a million decisions of four processes, Redis stopped ten times and its scripts lost a hundred times", async () => {
  await using server = await startDurableRedis();
  const orders = fleetOrders(server.endpoint, { actors: 100, limit: 2_500, inFlight: 64, decisions: 250_000 });
  await using watching = await openStore(server.endpoint, { prefix: orders.prefix, leaseMs: orders.leaseMs });
  const workers = [0, 0, dayMs / 16, -dayMs / 16].map((clockShiftMs) =>
    startWorker({ ...orders, concurrency: 32, clockShiftMs }),
  );
  const over = new AbortController();
  const trouble = (async () => {
    for (let stops = 0, flushes = 0; !over.signal.aborted && (stops < 10 || flushes < 100); ) {
      await sleep(250);
      await server.client.script("FLUSH");
      flushes++;
      if (flushes % 10 !== 0) continue;
      server.freeze();
      await sleep(500);
      server.thaw();
      stops++;
    }
  })();
  const reports = await Promise.all(workers.map(({ done }) => done));
  over.abort();
  await trouble;
  const decided = reports.reduce((sum, report) => sum + (report?.decided ?? 0), 0);
  expect(decided).toBeGreaterThanOrEqual(1_000_000);
  const ended = await checkBooks(server, watching.store, orders);
  console.log(`${decided} decisions, ${ended} requests, ${JSON.stringify(reports)}`);
}, 900_000);

it("fifty processes killed at work, and Redis ten times", async () => {
  await using server = await startDurableRedis();
  const orders = fleetOrders(server.endpoint, { actors: 100, limit: 100_000, inFlight: 64, decisions: 1e9 });
  await using watching = await openStore(server.endpoint, { prefix: orders.prefix, leaseMs: orders.leaseMs });
  const workers: Worker[] = Array.from({ length: 4 }, () => startWorker(orders));
  for (let killed = 0; killed < 50; killed++) {
    await sleep(1_500);
    workers.shift()?.kill();
    workers.push(startWorker(orders));
    if (killed % 5 !== 4) continue;
    await server.kill();
    await sleep(300);
    await server.start();
    await server.ready();
  }
  for (const worker of workers) worker.kill();
  await Promise.all(workers.map(({ done }) => done));
  const ended = await checkBooks(server, watching.store, orders);
  console.log(`${ended} requests`);
  expect(ended).toBeGreaterThan(1_000);
}, 900_000);
