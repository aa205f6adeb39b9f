// How long callers wait while Redis is away, and what a failover costs, by the figures of the promise: 110 ms in the first second,
// 5 ms after, normal within a second. For a machine that does nothing else.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, endUserOf, type GatewayProcess, startFleet, usageOf } from "../helpers/processes.js";
import { startSentinel, until } from "../helpers/redis.js";
import {
  type Answered,
  faults,
  type Stage,
  stageAway,
  steadily,
  untilServed,
  waitOf,
} from "../scenarios/store-away.js";

const firstMs = 110;
const laterMs = 5;
const returnMs = 1_000;

/** How much longer than the quickest the slowest took, beyond what those did at the same time who do not need Redis. */
function longestWait({ limited, free }: Answered): number {
  const spread = (answers: readonly Answer[]): number => waitOf(answers, 1) - waitOf(answers, 0);
  return spread(limited) - spread(free);
}

function figures({ limited, free }: Answered): Readonly<Record<string, string>> {
  const of = (answers: readonly Answer[]): string =>
    [0.5, 0.99, 1].map((share) => waitOf(answers, share).toFixed(1)).join(" / ");
  return { limited: of(limited), free: of(free) };
}

describe.sequential("callers of a gateway whose Redis is away", () => {
  let on: Stage;
  beforeAll(async () => {
    on = await stageAway();
    // What is compiled on the way would count as waiting.
    await steadily(on.gateway, 3_000, 5);
  });
  afterAll(() => on?.[Symbol.asyncDispose]());

  it.each(faults.flatMap((fault) => [20, 250].map((everyMs) => ({ ...fault, fault, everyMs }))))(
    "$name, a call every $everyMs ms",
    async ({ fault, everyMs, name }) => {
      const { gateway } = on;
      const end = await fault.begin(on);
      const first = await steadily(gateway, 1_000, everyMs);
      const later = await steadily(gateway, 2_000, everyMs);
      await end();
      const { tookMs, refused } = await untilServed(gateway);
      console.log(name, everyMs, {
        first: figures(first),
        later: figures(later),
        returnMs: tookMs.toFixed(0),
        refused,
      });

      expect(waitOf(first.limited, 1) - waitOf(first.free, 1)).toBeLessThanOrEqual(firstMs);
      expect(first.limited.some(({ status }) => status === 503)).toBe(true);
      if (fault.passes) expect(later.limited.at(-1)?.status).toBe(200);
      else expect(new Set(later.limited.map(({ status }) => status))).toEqual(new Set([503]));
      const refusals = later.limited.filter(({ status }) => status === 503);
      expect(longestWait({ limited: refusals, free: later.free })).toBeLessThanOrEqual(laterMs);
      expect(tookMs).toBeLessThanOrEqual(returnMs);
      await steadily(gateway, 1_000);
    },
  );
});

it.each([true, false])("a failover by Sentinels under load, with min-replicas-to-write: %s", async (refusing) => {
  const callers = 16;
  const options = refusing ? ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"] : [];
  await using sentinel = await startSentinel(...options);
  await using fleet = await startFleet({
    redis: sentinel.endpoint,
    gateways: 2,
    actors: { acme: [{ limit: 1_000_000, per: "24h" }] },
  });
  const seen = (): number => fleet.upstream.count(endUserOf("acme"));
  const answers: { readonly index: number; readonly at: number; readonly status: number }[] = [];
  let over = false;
  const calling = Array.from({ length: callers }, async (_, index) => {
    while (!over) {
      const { status } = await (fleet.gateways[index % 2] as GatewayProcess).chat("acme");
      answers.push({ index, at: performance.now(), status });
      await sleep(status === 200 ? 1 : 20);
    }
  });
  await until(async () => seen() > 500);
  await sentinel.failOver();
  const promotedAt = performance.now();
  await until(() => sentinel.knowsNew());
  if (refusing) await until(() => sentinel.hasReplica());
  const backAt = performance.now();
  await sleep(3_000);
  over = true;
  await Promise.all(calling);
  const normalMs = fleet.gateways.map((_, gateway) => {
    const served = answers.find(({ at, status, index }) => at > backAt && status === 200 && index % 2 === gateway);
    return (served?.at ?? Infinity) - backAt;
  });

  const [gateway] = fleet.gateways as [GatewayProcess];
  let lost = Number.NaN;
  await until(async () => {
    const told = await usageOf(gateway, "acme").catch(() => undefined);
    lost = seen() - (told?.used ?? Number.NaN);
    return told?.inFlight === 0;
  });
  console.log({ refusing, seen: seen(), lost, sentinelsMs: backAt - promotedAt, normalMs });
  expect(answers.filter(({ status }) => status !== 200 && status !== 503)).toEqual([]);
  // What was on its way to the replica at that instant; never more, and nothing is charged that was not sent.
  expect(lost).toBeGreaterThanOrEqual(0);
  if (refusing) expect(lost).toBeLessThanOrEqual(callers);
  expect(Math.max(...normalMs)).toBeLessThanOrEqual(returnMs);
});
