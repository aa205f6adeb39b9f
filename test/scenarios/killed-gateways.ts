// Gateways that are killed at work: nothing is counted twice or lost, and all they held is back within a lease.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { UsageEvent } from "../../src/usage/event.js";
import { endUserOf, type Fleet, type GatewayProcess, startFleet, usageOf } from "../helpers/processes.js";
import { startDurableRedis, until } from "../helpers/redis.js";

export interface KilledGateways {
  readonly rounds: number;
  /** Time between two kills, ms. */
  readonly everyMs: number;
  readonly callers: number;
  readonly leaseMs: number;
}

const inFlight = 40;
const busy = endUserOf("busy");

/** Of two gateways, one is killed and replaced each round. Returns what became of the requests, by outcome. */
export async function killedGateways(plan: KilledGateways): Promise<Readonly<Record<string, number>>> {
  await using redis = await startDurableRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: { busy: [{ limit: 1_000_000, per: "24h" }, { inFlight }] },
    env: { CODY_GATEWAY_QUOTA_LEASE: `${plan.leaseMs}ms` },
    upstream: { behaviour: { chunks: 5, everyMs: 20 } },
  });
  const { upstream } = fleet;
  let alive: GatewayProcess[] = [...fleet.gateways];
  let over = false;
  let whole = 0;
  const callers = Array.from({ length: plan.callers }, async (_, index) => {
    for (let i = index; !over; i++) {
      const gateway = alive[i % alive.length] as GatewayProcess;
      // Whose gateway dies gets no answer, or half of one.
      const answer = await gateway.chat("busy", { stream: i % 2 === 0 }).catch(() => undefined);
      if (answer?.status === 200) whole++;
      await sleep(10);
    }
  });
  for (let round = 0; round < plan.rounds; round++) {
    await sleep(plan.everyMs);
    const next = fleet.start();
    const [doomed] = alive as [GatewayProcess];
    doomed.signal("SIGKILL");
    alive = alive.slice(1);
    await doomed.ended;
    alive = [...alive, await next];
  }
  over = true;
  await Promise.all(callers);

  const [judge] = alive as [GatewayProcess];
  await until(async () => (await usageOf(judge, "busy")).inFlight === 0, plan.leaseMs + 30_000);
  await allOfItIsBack(fleet, alive);

  // What a process that died had not told yet, the others tell: each request once.
  const sent = upstream.count(busy);
  const byId = async () => new Map((await fleet.events()).map((event) => [event.id, event]));
  const admitted = async (): Promise<UsageEvent[]> =>
    [...(await byId()).values()].filter(({ outcome }) => outcome !== "refused");
  await until(async () => (await admitted()).length >= sent, 60_000);
  const events = await admitted();
  const charged = events.filter((event) => event.charged).length;
  expect((await usageOf(judge, "busy")).used).toBe(charged);
  // What a caller got to its end is charged; what was never sent is not.
  expect(charged).toBeGreaterThanOrEqual(whole);
  expect(charged).toBeLessThanOrEqual(sent);
  const outcomes: Record<string, number> = {};
  for (const { outcome } of events) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  return outcomes;
}

/** As many streams as may be are let in at once, and no more. */
async function allOfItIsBack({ upstream }: Fleet, alive: readonly GatewayProcess[]): Promise<void> {
  upstream.holdAll();
  let answered = 0;
  const all = Array.from({ length: 2 * inFlight }, async (_, index) => {
    let status = 503;
    while (status === 503) ({ status } = await (alive[index % alive.length] as GatewayProcess).chat("busy"));
    answered++;
    return status;
  });
  await until(async () => answered === inFlight);
  expect(upstream.inFlight(busy)).toBe(inFlight);
  upstream.release();
  expect((await Promise.all(all)).filter((status) => status === 200)).toHaveLength(inFlight);
}
