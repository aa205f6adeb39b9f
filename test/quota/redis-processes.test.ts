import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { startDurableRedis } from "../helpers/redis.js";
import { openStore, patientMs, slots, units } from "../helpers/redis-quota.js";
import { fleetOrders, readOutbox, startWorker } from "../soak/quota-fleet.js";

const hourMs = 3_600_000;

it("four processes, one killed, two with wrong clocks, on a Redis that stood still: no actor over its limit, nothing lost", async () => {
  await using server = await startDurableRedis();
  const orders = fleetOrders(server.endpoint, { decisions: 1_500 });
  const { limit, prefix, leaseMs } = orders;
  const workers = [0, 1.5 * hourMs, -1.5 * hourMs].map((clockShiftMs) => startWorker({ ...orders, clockShiftMs }));
  const doomed = startWorker({ ...orders, decisions: 1e9 });
  await using watching = await openStore(server.endpoint, { prefix, leaseMs, timeoutMs: patientMs });
  const requests = units(limit, { key: "requests", windowMs: 24 * hourMs });
  const actors = Array.from({ length: orders.actors }, (_, i) => `fleet:${i}`);

  const over = new AbortController();
  const watch = (async () => {
    let most = 0;
    for (; !over.signal.aborted; await sleep(20)) {
      const all = await Promise.all(actors.map((actor) => watching.store.usage(actor, [requests]).catch(() => [])));
      most = Math.max(most, ...all.flat().map(({ used }) => used));
    }
    return most;
  })();
  await sleep(2_500);
  server.freeze();
  await sleep(400);
  server.thaw();
  doomed.kill();
  const reports = await Promise.all(workers.map(({ done }) => done));
  over.abort();
  expect(await watch).toBeLessThanOrEqual(limit);

  // A lease later everything is settled.
  await sleep(leaseMs + 100);
  for (let found = 1; found > 0; ) found = (await watching.store.reap(100)).length;
  const outbox = await readOutbox(server, prefix);
  for (const actor of actors) {
    const tally = outbox.get(actor);
    const ended = [
      ...(tally?.finished ?? []),
      ...(tally?.refunded ?? []),
      ...(tally?.abandoned ?? []).map(({ id }) => id),
    ];
    expect(new Set(ended)).toEqual(new Set(tally?.reserved));
    expect(ended).toHaveLength(tally?.reserved.length ?? -1);
    const charged = (tally?.finished.length ?? 0) + (tally?.abandoned ?? []).filter((hold) => hold.charged).length;
    const inFlight = slots(orders.inFlight);
    const states = await watching.store.usage(actor, [requests, { ...inFlight, key: "in_flight" }]);
    expect(states.map(({ used }) => used)).toEqual([charged, 0]);
    // What was forgotten was given back: there was more to do than the limit had room for.
    expect(charged).toBeGreaterThan(0.8 * limit);
  }
  const decided = reports.reduce((sum, report) => sum + (report?.decided ?? 0), 0);
  expect(decided).toBeGreaterThanOrEqual(3 * orders.decisions);
});
