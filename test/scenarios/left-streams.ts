// Streams that their callers leave, in every way and at any byte: none holds a slot afterwards, none is told of twice.

import { expect } from "vitest";
import { endUserOf, type Fleet, type GatewayProcess, tokenOf, usageOf } from "../helpers/processes.js";
import { until } from "../helpers/redis.js";
import { abortedStream, type Leaving, leavings } from "./leaving.js";

export interface LeftStreams {
  readonly fleet: Fleet;
  /** Has a limit above the number of streams, and slots for all that are under way. */
  readonly actor: string;
  readonly streams: number;
  /** Streams under way at a time. */
  readonly concurrency: number;
}

/** What became of them. */
export interface LeftStreamsReport {
  readonly streams: number;
  /** Those whose caller got some of the answer before it left. */
  readonly begun: number;
  /** Those that a gateway took up; the others were left before they were whole requests. */
  readonly taken: number;
  readonly charged: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

/** About so long are whole answers: native events say much beside the text. */
function answerBytes([protocol]: Leaving): number {
  return protocol === "sdk" ? 4_000 : 600;
}

/** Nothing else may be asked of the fleet meanwhile. */
export async function leftStreams({ fleet, actor, streams, concurrency }: LeftStreams): Promise<LeftStreamsReport> {
  const { upstream, gateways } = fleet;
  const token = tokenOf(actor);
  const sum = async (metric: string) =>
    (await Promise.all(gateways.map((gateway) => gateway.metric(metric)))).reduce<number>((a, b = 0) => a + b, 0);
  const ended = () => sum("cody_gateway_request_duration_seconds_count");
  const before = await ended();
  let next = 0;
  let begun = 0;
  const leaveOneAfterAnother = async (): Promise<void> => {
    while (next < streams) {
      const index = next++;
      const leaving = leavings[index % leavings.length] as (typeof leavings)[number];
      const afterBytes = index % 10 === 0 ? 0 : Math.floor(Math.random() * answerBytes(leaving));
      const deadlineMs = 20 + Math.floor(Math.random() * 400);
      const port = gateways[Math.floor(index / leavings.length) % gateways.length]?.port ?? 0;
      if ((await abortedStream({ port, token, leaving, afterBytes, deadlineMs })) > 0) begun++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, leaveOneAfterAnother));

  expect(begun).toBeGreaterThan(streams / 4);
  await until(async () => upstream.inFlight(endUserOf(actor)) === 0);
  for (const gateway of gateways)
    await until(async () => (await usageOf(gateway, actor).catch(() => undefined))?.inFlight === 0);
  // Each that came to the route is told of once, and what is counted is what is told of as charged.
  // An event may be delivered twice, under one id.
  const byId = async () => {
    const own = (await fleet.events()).filter((event) => event.actor.id === actor);
    return new Map(own.map((event) => [event.id, event]));
  };
  let taken = 0;
  let events: Awaited<ReturnType<typeof byId>> = new Map();
  await until(async () => {
    taken = (await ended()) - before;
    events = await byId();
    // Nothing is under way, nor was meanwhile.
    const quiet = (await sum("cody_gateway_requests_in_flight")) === 0 && (await ended()) - before === taken;
    return quiet && events.size >= taken;
  });
  expect(events.size).toBe(taken);
  const charged = [...events.values()].filter((event) => event.charged).length;
  await until(
    async () => (await usageOf(gateways[0] as GatewayProcess, actor).catch(() => undefined))?.used === charged,
  );
  expect(charged).toBeGreaterThan(0);
  // To be left is no failure of ours.
  for (const gateway of gateways) expect(gateway.log).not.toContain("request failed");
  const outcomes: Record<string, number> = {};
  for (const { outcome } of events.values()) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  return { streams, begun, taken, charged, outcomes };
}
