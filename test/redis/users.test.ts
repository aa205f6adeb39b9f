// Limits of each user of an actor, counted by several gateways together. Judged by what the upstream saw.

import { afterAll, beforeAll, expect, it } from "vitest";
import { type Fleet, type GatewayProcess, startFleet, tokenOf } from "../helpers/processes.js";
import { type RedisServer, startRedis } from "../helpers/redis.js";

const limit = 10;
const users = 6;
let redis: RedisServer;
let fleet: Fleet;

beforeAll(async () => {
  redis = await startRedis();
  fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: {},
    file: {
      actors: [
        {
          id: "shared",
          tokens: [{ ref: "env:SHARED_TOKEN" }],
          limits: { chat_completions: [{ limit: 1_000, per: "24h" }] },
          perUserLimits: { chat_completions: [{ limit, per: "24h" }] },
        },
      ],
    },
    // Long: on a busy machine Redis is late, which is no matter here.
    env: { SHARED_TOKEN: tokenOf("shared"), CODY_GATEWAY_REDIS_TIMEOUT: "10s" },
  });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

it("let each user have exactly its own of two gateways, however much one of them asks for", async () => {
  const [one, other] = fleet.gateways as [GatewayProcess, GatewayProcess];
  const asked = Array.from({ length: users * 40 }, (_, at) => ({
    user: `user-${at % users}`,
    by: at % 2 ? one : other,
  }));
  const hungry = Array.from({ length: 100 }, (_, at) => ({ user: "hungry", by: at % 2 ? one : other }));

  const answers = await Promise.all([...hungry, ...asked].map(({ user, by }) => by.chat("shared", { user })));

  const seen = new Map<string, number>();
  for (const { endUser = "" } of fleet.upstream.calls) seen.set(endUser, (seen.get(endUser) ?? 0) + 1);
  const names = ["hungry", ...Array.from({ length: users }, (_, at) => `user-${at}`)];
  expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(names.map((name) => [`shared:${name}`, limit])));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(limit * names.length);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
});
