// The promise about limits, held by whole gateways: four of them under trouble, and twenty killed at work.

import { expect, it } from "vitest";
import { exactRequests } from "../scenarios/exact-requests.js";
import { killedGateways } from "../scenarios/killed-gateways.js";

it("four gateways, two with wrong clocks, let exactly N requests of each actor pass while Redis stops and forgets its scripts", async () => {
  const stops = await exactRequests({
    actors: 100,
    limit: 40,
    attempts: 60,
    concurrency: 64,
    trouble: { times: 5, everyMs: 400, frozenMs: 400, flushes: 4 },
  });
  expect(stops).toBeGreaterThan(0);
});

it("gateways killed at work: what is charged is what is told, all of it comes back within a lease", async () => {
  const outcomes = await killedGateways({ rounds: 20, everyMs: 150, callers: 16, leaseMs: 2_000 });
  console.log(outcomes);
  expect(outcomes["completed"]).toBeGreaterThan(0);
  expect(outcomes["abandoned"]).toBeGreaterThan(0);
});
