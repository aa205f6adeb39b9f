// Whole gateways that let exactly N requests of each actor pass, whatever happens to Redis meanwhile: judged by what the
// upstream saw, what callers got and what the sinks received.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { endUserOf, type Fleet, type GatewayProcess, usageOf } from "../helpers/processes.js";
import { type RedisServer, until } from "../helpers/redis.js";
import { inTrouble, type Trouble } from "./trouble.js";

export interface ExactRequests {
  readonly redis: RedisServer;
  readonly fleet: Fleet;
  /** Each may make `limit` requests a day. */
  readonly actors: readonly string[];
  readonly limit: number;
  /** Requests that each tries at first. */
  readonly attempts: number;
  /** Requests under way at a time. */
  readonly concurrency: number;
  readonly trouble: Trouble;
}

/** Returns how often Redis stopped. */
export async function exactRequests(plan: ExactRequests): Promise<number> {
  const { redis, fleet, actors, limit } = plan;
  const { upstream, gateways } = fleet;
  const passed = (name: string): number => upstream.count(endUserOf(name));

  const [statuses, stops] = await inTrouble(redis, plan.trouble, () => storm(plan));
  expect(new Set([200, 429, 503])).toEqual(new Set([200, 429, 503, ...statuses.keys()]));
  for (const name of actors) expect(passed(name), name).toBeLessThanOrEqual(limit);

  // Those who were told to come back do, until there is nothing left.
  let served = statuses.get(200) ?? 0;
  const wanting = (): string[] => actors.filter((name) => passed(name) < limit);
  await until(async () => {
    const askedOf = (i: number) => gateways[i % gateways.length] as GatewayProcess;
    const answers = await Promise.all(wanting().map((name, i) => askedOf(i).chat(name)));
    served += answers.filter((answer) => answer.status === 200).length;
    return wanting().length === 0;
  });
  const last = await Promise.all(gateways.flatMap((gateway) => actors.map((name) => decided(gateway, name))));
  expect(new Set(last)).toEqual(new Set([429]));
  expect(new Set(actors.map(passed))).toEqual(new Set([limit]));
  // A process that was too late to settle within its answer's time does so a little later.
  const [first] = gateways as [GatewayProcess];
  for (const name of actors)
    await until(async () => (await usageOf(first, name).catch(() => undefined))?.used === limit);

  // One event for each request that was sent on. It may be delivered again: its id says so.
  const charged = async () => {
    const events = (await fleet.events()).filter((event) => event.charged && actors.includes(event.actor.id));
    return new Set(events.map(({ id }) => id));
  };
  await until(async () => (await charged()).size >= served);
  expect([served, (await charged()).size]).toEqual([actors.length * limit, actors.length * limit]);
  return stops;
}

/** Sends the attempts of every actor to all gateways in turn. Returns how often each status came. */
async function storm(plan: ExactRequests): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const { actors } = plan;
  const { gateways } = plan.fleet;
  const total = actors.length * plan.attempts;
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < total) {
      const index = next++;
      const gateway = gateways[index % gateways.length] as GatewayProcess;
      const actor = actors[Math.floor(index / gateways.length) % actors.length] as string;
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
