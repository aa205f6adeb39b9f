// Many callers who all want one of a few slots, at several gateways: the upstream never sees more than there are, and what
// becomes free is soon taken.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { endUserOf, type Fleet, type GatewayProcess, usageOf } from "../helpers/processes.js";
import { until } from "../helpers/redis.js";

export interface SlotsInUse {
  readonly fleet: Fleet;
  readonly actor: string;
  /** Requests that the actor may have in flight. */
  readonly slots: number;
  readonly callers: number;
  readonly streamMs: number;
}

export interface SlotsInUseReport {
  readonly streamMs: number;
  readonly streams: number;
  readonly refused: number;
  /** Share of the time that all slots were in use, and the mean share of the slots. */
  readonly allInUse: number;
  readonly inUse: number;
}

/** Time between a caller's refusal and its next attempt; about so long. Another one tries every few milliseconds. */
const comesAgainMs = 1_500;

/**
 * All slots are to be in use for 19 parts of 20, with streams that are long against what it takes to hand a slot over. On a
 * machine that is busy everything takes longer: there streams have to be longer, too, up to four times, and 19 parts of 20 of
 * all slots' time are enough.
 */
export async function slotsFullyUsed(plan: SlotsInUse): Promise<SlotsInUseReport> {
  for (let times = 1; ; times *= 2) {
    const report = await slotsInUse({ ...plan, streamMs: times * plan.streamMs });
    if (report.allInUse >= 0.95 || (times > 1 && report.inUse >= 0.95)) return report;
    if (times === 4) throw new Error(`slots are not used: ${JSON.stringify(report)}`);
  }
}

async function slotsInUse(plan: SlotsInUse): Promise<SlotsInUseReport> {
  const { fleet, actor, slots, streamMs } = plan;
  const { upstream, gateways } = fleet;
  const endUser = endUserOf(actor);
  let over = false;
  const statuses = new Map<number, number>();
  const before = upstream.count(endUser);
  const prompt = `[[chunks=${Math.round(streamMs / 100)} every=100]]`;
  const wantOne = async (index: number): Promise<void> => {
    for (let i = index; !over; i++) {
      const gateway = gateways[i % gateways.length] as GatewayProcess;
      const { status } = await gateway.chat(actor, { stream: true, prompt });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status !== 200) await sleep(comesAgainMs * (0.5 + Math.random()));
    }
  };
  const callers = Array.from({ length: plan.callers }, (_, index) => wantOne(index));

  const watching = until(async () => upstream.inFlight(endUser) === slots).then(() =>
    watch(() => upstream.inFlight(endUser), slots, 1.6 * streamMs),
  );
  const watched = await watching.finally(() => (over = true));
  await Promise.all(callers);

  expect(upstream.highWater(endUser)).toBe(slots);
  expect([...statuses.keys()].filter((status) => status !== 200 && status !== 429 && status !== 503)).toEqual([]);
  for (const gateway of gateways)
    await until(async () => (await usageOf(gateway, actor).catch(() => undefined))?.inFlight === 0);
  const refused = statuses.get(429) ?? 0;
  return { streamMs, streams: upstream.count(endUser) - before, refused, ...watched };
}

/** Shares of the time, each moment counted as what was seen at its beginning. */
async function watch(inFlight: () => number, slots: number, forMs: number) {
  const startedAt = performance.now();
  let all = 0;
  let some = 0;
  for (let from = startedAt; from - startedAt < forMs; ) {
    const seen = inFlight();
    await sleep(5);
    const now = performance.now();
    if (seen === slots) all += now - from;
    some += (now - from) * (seen / slots);
    from = now;
  }
  const tookMs = performance.now() - startedAt;
  return { allInUse: all / tookMs, inUse: some / tookMs };
}
