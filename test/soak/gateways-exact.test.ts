// Limits are exact over several gateways, judged by what the upstream saw.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { endUserOf, type Fleet, startFleet, usageOf } from "../helpers/processes.js";
import { type RedisServer, startRedis, until } from "../helpers/redis.js";

const limit = 60;
const names = Array.from({ length: 100 }, (_, i) => `actor-${i}`);
const actors = Object.fromEntries(names.map((name) => [name, [{ limit, per: "24h" }]]));

/** Freezes Redis and makes it forget its scripts, again and again. */
async function trouble(redis: RedisServer, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await sleep(250);
    redis.freeze();
    await sleep(300 + 100 * (round % 3));
    redis.thaw();
    await redis.client.script("FLUSH");
    await sleep(50);
    await redis.client.script("FLUSH");
  }
}

/** Sends `perActor` requests for each actor to all gateways in turn, many at once. Returns how often each status came. */
async function storm(fleet: Fleet, perActor: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const total = names.length * perActor;
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < total) {
      const index = next++;
      const gateway = fleet.gateways[index % fleet.gateways.length];
      const actor = names[Math.floor(index / fleet.gateways.length) % names.length] as string;
      for (let status = 503; status === 503; ) {
        status = (await gateway?.chat(actor))?.status ?? 0;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        // Who is told that the store is away comes back a little later.
        if (status === 503) await sleep(50);
      }
    }
  };
  await Promise.all(Array.from({ length: 200 }, send));
  return statuses;
}

it("4 gateways let exactly N requests of each actor pass while Redis freezes and forgets its scripts", async () => {
  await using redis = await startRedis();
  await using fleet = await startFleet({ redis: redis.endpoint, gateways: 4, actors });
  const { upstream } = fleet;

  const [statuses] = await Promise.all([storm(fleet, 100), trouble(redis, 4)]);
  expect([...statuses.keys()].toSorted()).toEqual([200, 429, 503]);
  for (const name of names) expect(upstream.count(endUserOf(name)), name).toBeLessThanOrEqual(limit);

  // Some were told to come back: they do, until there is nothing left.
  let served = statuses.get(200) ?? 0;
  const wanting = (): string[] => names.filter((name) => upstream.count(endUserOf(name)) < limit);
  await until(async () => {
    const answers = await Promise.all(wanting().map(async (name, i) => fleet.gateways[i % 4]?.chat(name)));
    served += answers.filter((answer) => answer?.status === 200).length;
    return wanting().length === 0;
  }, 20_000);
  const last = await Promise.all(fleet.gateways.flatMap((gateway) => names.map((name) => gateway.chat(name))));

  expect(new Set(last.map(({ status }) => status))).toEqual(new Set([429]));
  expect(new Set(names.map((name) => upstream.count(endUserOf(name))))).toEqual(new Set([limit]));
  expect(served).toBe(names.length * limit);
  const [gateway] = fleet.gateways;
  if (gateway) for (const name of names) expect((await usageOf(gateway, name)).used, name).toBe(limit);

  // One event for each request that was sent on, none twice.
  const charged = async () => (await fleet.events()).filter((event) => event.charged);
  await until(async () => (await charged()).length >= served);
  expect((await charged()).length).toBe(served);
  const ids = (await fleet.events()).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
}, 60_000);
