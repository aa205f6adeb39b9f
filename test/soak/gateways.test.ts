// The promise about limits, held by whole gateways: four of them under trouble, two with wrong clocks, and fifty killed at work.

import { expect, it } from "vitest";
import { startFleet } from "../helpers/processes.js";
import { startRedis } from "../helpers/redis.js";
import { shiftedClock } from "../helpers/shifted-clock.js";
import { exactRequests } from "../scenarios/exact-requests.js";
import { killedGateways } from "../scenarios/killed-gateways.js";
import { leavings } from "../scenarios/leaving.js";
import { leftStreams } from "../scenarios/left-streams.js";
import { slotsFullyUsed } from "../scenarios/slots-in-use.js";

const exact = Array.from({ length: 100 }, (_, index) => `exact-${index}`);
const limit = 40;

async function fourGateways() {
  const redis = await startRedis();
  const fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: {
      ...Object.fromEntries(exact.map((name) => [name, [{ limit, per: "24h" }]])),
      busy: [{ inFlight: 5 }],
      leaving: [{ limit: 100_000, per: "24h" }, { inFlight: 1_000 }],
    },
  });
  const clocks = await Promise.all(["+90m", "-90m"].map(shiftedClock));
  await Promise.all(clocks.map((env) => fleet.start(env)));
  return {
    redis,
    fleet,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

it("four gateways, two with wrong clocks, let exactly N requests of each actor pass while Redis stops and forgets its scripts", async () => {
  await using four = await fourGateways();
  const trouble = { times: 5, everyMs: 400, frozenMs: 400, flushes: 4 };
  const stops = await exactRequests({ ...four, actors: exact, limit, attempts: 60, concurrency: 64, trouble });
  expect(stops).toBeGreaterThan(0);
});

it("of 400 parallel streams exactly 5 are let in at all times, and nearly all of the time 5 are", async () => {
  await using four = await fourGateways();
  console.log(await slotsFullyUsed({ fleet: four.fleet, actor: "busy", slots: 5, callers: 400, streamMs: 10_000 }));
});

it("gateways killed at work, and Redis: all is charged once and told once, nothing stays held", async () => {
  console.log(await killedGateways({ rounds: 50, everyMs: 150, callers: 16, leaseMs: 5_000, redisKills: 10 }));
});

it("of 20,000 streams that their callers left, in every way and at any byte, none holds a slot", async () => {
  await using four = await fourGateways();
  const streams = Math.ceil(20_000 / leavings.length) * leavings.length;
  console.log(await leftStreams({ fleet: four.fleet, actor: "leaving", streams, concurrency: 40 }));
});
