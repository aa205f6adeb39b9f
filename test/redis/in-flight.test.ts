// Three whole gateways on one Redis, the clocks of two of them an hour and a half off, each the other way: what their limits
// let through. Judged by what the upstream saw, what callers got, and what the sinks received.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fleet, startFleet } from "../helpers/processes.js";
import { type RedisServer, startRedis } from "../helpers/redis.js";
import { shiftedClock } from "../helpers/shifted-clock.js";
import { alikeActors, decideAlike } from "../scenarios/alike.js";
import { exactRequests } from "../scenarios/exact-requests.js";
import { leavings } from "../scenarios/leaving.js";
import { leftStreams } from "../scenarios/left-streams.js";
import { slotsFullyUsed } from "../scenarios/slots-in-use.js";

const exact = Array.from({ length: 20 }, (_, index) => `exact-${index}`);
const limit = 20;
let redis: RedisServer;
let fleet: Fleet;

beforeAll(async () => {
  redis = await startRedis();
  fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 1,
    // A busy machine may keep Redis from answering for a while; it is stopped for longer.
    env: { CODY_GATEWAY_REDIS_TIMEOUT: "250ms" },
    actors: {
      ...alikeActors(3),
      ...Object.fromEntries(exact.map((name) => [name, [{ limit, per: "24h" }]])),
      busy: [{ inFlight: 5 }],
      leaving: [{ limit: 100_000, per: "24h" }, { inFlight: 1_000 }],
    },
  });
  const clocks = await Promise.all(["+90m", "-90m"].map(shiftedClock));
  await Promise.all(clocks.map((env) => fleet.start(env)));
}, 240_000);
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

describe.concurrent("three gateways, two with wrong clocks", () => {
  it("decide alike", () => decideAlike(fleet));

  it("let 200 callers have exactly 5 streams at a time, and soon replace those that end", async () => {
    const plan = { fleet, actor: "busy", slots: 5, callers: 200, streamMs: 4_000 };
    const { streams, refused } = await slotsFullyUsed(plan);
    expect(streams).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(200 - streams);
  }, 150_000);
});

describe("three gateways, two with wrong clocks,", () => {
  it("hold no slot of streams that their callers left, in every way and at any byte", async () => {
    // Each way once at each of them; the soak does it twenty thousand times.
    await leftStreams({ fleet, actor: "leaving", streams: 3 * leavings.length, concurrency: 40 });
  });

  it("let exactly so many requests of each actor pass while Redis stops and forgets its scripts", async () => {
    const stops = await exactRequests({
      redis,
      fleet,
      actors: exact,
      limit,
      attempts: 30,
      concurrency: 32,
      trouble: { times: 3, everyMs: 300, frozenMs: 300, flushes: 3 },
    });
    expect(stops).toBeGreaterThan(0);
  });
});
