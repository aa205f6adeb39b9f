// Whole gateways that let exactly N requests of each actor pass, whatever happens to Redis meanwhile: judged by what the
// upstream saw, what callers got and what the sinks received.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { endUserOf, type Fleet, type GatewayProcess, startFleet, usageOf } from "../helpers/processes.js";
import { startRedis, until } from "../helpers/redis.js";
import { shiftedClock } from "../helpers/shifted-clock.js";
import { inTrouble, type Trouble } from "./trouble.js";

export interface ExactRequests {
  readonly actors: number;
  /** Requests of each actor, and how many it tries at first. */
  readonly limit: number;
  readonly attempts: number;
  /** Requests under way at a time. */
  readonly concurrency: number;
  readonly trouble: Trouble;
}

/** Two of the four gateways have clocks that are off by an hour and a half. Returns how often Redis stopped. */
export async function exactRequests(plan: ExactRequests): Promise<number> {
  const names = Array.from({ length: plan.actors }, (_, i) => `actor-${i}`);
  const { limit } = plan;
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: Object.fromEntries(names.map((name) => [name, [{ limit, per: "24h" }]])),
  });
  const clocks = await Promise.all(["+90m", "-90m"].map(shiftedClock));
  await Promise.all(clocks.map((env) => fleet.start(env)));
  const { upstream, gateways } = fleet;
  const passed = (name: string): number => upstream.count(endUserOf(name));

  const [statuses, stops] = await inTrouble(redis, plan.trouble, () => storm(fleet, names, plan));
  expect(new Set([200, 429, 503])).toEqual(new Set([200, 429, 503, ...statuses.keys()]));
  for (const name of names) expect(passed(name), name).toBeLessThanOrEqual(limit);

  // Those who were told to come back do, until there is nothing left.
  let served = statuses.get(200) ?? 0;
  const wanting = (): string[] => names.filter((name) => passed(name) < limit);
  await until(async () => {
    const askedOf = (i: number) => gateways[i % gateways.length] as GatewayProcess;
    const answers = await Promise.all(wanting().map((name, i) => askedOf(i).chat(name)));
    served += answers.filter((answer) => answer.status === 200).length;
    return wanting().length === 0;
  });
  const last = await Promise.all(gateways.flatMap((gateway) => names.map((name) => decided(gateway, name))));
  expect(new Set(last)).toEqual(new Set([429]));
  expect(new Set(names.map(passed))).toEqual(new Set([limit]));
  // A process that was too late to settle within its answer's time does so a little later.
  const [first] = gateways as [GatewayProcess];
  for (const name of names) await until(async () => (await usageOf(first, name)).used === limit);

  // One event for each request that was sent on. It may be delivered again: its id says so.
  const charged = async () => new Set((await fleet.events()).flatMap((event) => (event.charged ? [event.id] : [])));
  await until(async () => (await charged()).size >= served);
  expect([served, (await charged()).size]).toEqual([names.length * limit, names.length * limit]);
  return stops;
}

/** Sends the attempts of every actor to all gateways in turn. Returns how often each status came. */
async function storm(fleet: Fleet, names: readonly string[], plan: ExactRequests): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const { gateways } = fleet;
  const total = names.length * plan.attempts;
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < total) {
      const index = next++;
      const gateway = gateways[index % gateways.length] as GatewayProcess;
      const actor = names[Math.floor(index / gateways.length) % names.length] as string;
      for (let status = 503; status === 503; ) {
        ({ status } = await gateway.chat(actor));
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        // Who is told that the store is away comes back a little later.
        if (status === 503) await sleep(50);
      }
    }
  };
  await Promise.all(Array.from({ length: plan.concurrency }, send));
  return statuses;
}

/** The first answer that is a decision. */
async function decided(gateway: GatewayProcess, name: string): Promise<number> {
  for (;;) {
    const { status } = await gateway.chat(name);
    if (status !== 503) return status;
    await sleep(50);
  }
}
