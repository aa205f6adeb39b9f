// Gateways that are killed at work, Redis too, while the sink of their events is down half of the time: nothing is counted
// twice or lost, each request is told of once, and all that was held is back within a lease. Every request bears a number:
// the upstream sees it in the prompt, the sink in the event's id.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { UsageEvent } from "../../src/usage/event.js";
import { type FlappingSink, startFlappingSink } from "../helpers/flapping-sink.js";
import { endUserOf, type Fleet, type GatewayProcess, startFleet, usageOf } from "../helpers/processes.js";
import { type RedisServer, startDurableRedis, until } from "../helpers/redis.js";
import { shiftedClock } from "../helpers/shifted-clock.js";

export interface KilledGateways {
  readonly rounds: number;
  /** Time between two kills, ms. */
  readonly everyMs: number;
  readonly callers: number;
  readonly leaseMs: number;
  /** In so many of the rounds, the first ones, Redis is killed as well, and started again with what it wrote. */
  readonly redisKills: number;
}

/** What became of the requests, by outcome, and what the sink was like. */
export interface KilledGatewaysReport {
  readonly sent: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failedDeliveries: number;
}

/** Within a second of Redis' return all is normal again. */
const toldWithinMs = 3_000;
const inFlight = 40;
const busy = endUserOf("busy");

interface Stage {
  readonly redis: RedisServer;
  readonly fleet: Fleet;
  readonly sink: FlappingSink;
  /** Two gateways, as a rule. */
  alive: GatewayProcess[];
  /** Requests whose callers got the whole answer. */
  readonly whole: Set<string>;
  numbers: number;
}

/** Gateways take a while to start when the machine is busy: those that go on make no more requests than they have to. */
const comesAgainMs = 20;

/** Of two gateways, one is killed and replaced each round. */
export async function killedGateways(plan: KilledGateways): Promise<KilledGatewaysReport> {
  // With "everysec", what was answered while the disk is slow is not written yet: a killed server loses it.
  await using redis = await startDurableRedis("--appendfsync", "always");
  await using sink = await startFlappingSink();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 2,
    actors: { busy: [{ limit: 1_000_000, per: "24h" }, { inFlight }] },
    env: { CODY_GATEWAY_QUOTA_LEASE: `${plan.leaseMs}ms`, CODY_GATEWAY_EVENTS_SINKS: sink.url },
    upstream: { behaviour: { chunks: 5, everyMs: 20 }, keepCalls: 1_000_000 },
  });
  const stage: Stage = { redis, fleet, sink, alive: [...fleet.gateways], whole: new Set(), numbers: 0 };
  sink.flap(400);
  await underLoad(stage, plan.callers, async () => {
    for (let round = 0; round < plan.rounds; round++) await killOne(stage, plan, round);
  });

  const [judge] = stage.alive as [GatewayProcess];
  await nothingIsHeld(judge, plan.leaseMs);
  await allOfItIsBack(stage, judge, plan.leaseMs);
  const { upstream } = fleet;
  await until(async () => upstream.inFlight() === 0);
  // Who delivered may have been killed, and another one does not deliver before that is known.
  await until(async () => sink.failures > 0);
  sink.up();
  await until(async () => untold(stage).length === 0, 60_000).catch(() => undefined);
  expect(untold(stage)).toEqual([]);
  const events = admittedOf(sink);
  await checkBooks(stage, events, judge);
  await deliveredBeforeTheEnd(stage);

  const outcomes: Record<string, number> = {};
  for (const { outcome } of events) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  return { sent: upstream.count(busy), outcomes, failedDeliveries: sink.failures };
}

/** Callers that go on for as long as `work` does. */
async function underLoad(stage: Stage, callers: number, work: () => Promise<void>): Promise<void> {
  let over = false;
  const all = Array.from({ length: callers }, async (_, index) => {
    for (let i = index; !over; i++) {
      await call(stage, stage.alive[i % stage.alive.length] as GatewayProcess, i % 2 === 0);
      await sleep(comesAgainMs);
    }
  });
  try {
    await work();
  } finally {
    over = true;
    await Promise.all(all);
  }
}

async function call(stage: Stage, gateway: GatewayProcess, stream: boolean): Promise<number | undefined> {
  const requestId = `request-${++stage.numbers}`;
  // Whose gateway dies gets no answer, or half of one.
  const answer = await gateway.chat("busy", { stream, requestId, prompt: requestId }).catch(() => undefined);
  if (answer?.status === 200) stage.whole.add(requestId);
  return answer?.status;
}

async function killOne(stage: Stage, plan: KilledGateways, round: number): Promise<void> {
  await sleep(plan.everyMs);
  // Every third has a clock that is off by an hour and a half: what it holds ends by Redis' clock all the same.
  const next = stage.fleet.start(round % 3 === 0 ? await shiftedClock("+90m") : {}, { waits: false });
  const [doomed] = stage.alive as [GatewayProcess];
  // At work, also on a machine that stood still just now.
  await until(async () => stage.fleet.upstream.inFlight(busy) > plan.callers / 2);
  doomed.signal("SIGKILL");
  stage.alive = stage.alive.slice(1);
  await doomed.ended;
  if (round < plan.redisKills) await killRedis(stage);
  const started = await next;
  await started.ready();
  stage.alive = [...stage.alive, started];
}

/**
 * Those that are left have told it all before the next of them dies: what one answers while Redis is dead is known to it alone,
 * and lost where it dies then, too.
 */
async function killRedis({ redis, alive }: Stage): Promise<void> {
  await redis.kill();
  await redis.start();
  await redis.ready();
  await Promise.all(alive.map((gateway) => gateway.ready()));
  await sleep(toldWithinMs);
}

/** As many requests as may be are let in at once, and no more. */
async function allOfItIsBack(stage: Stage, judge: GatewayProcess, leaseMs: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    const { letIn, refused, unsure } = await askForAll(stage);
    expect(letIn).toBeLessThanOrEqual(inFlight);
    if (unsure === 0) return expect({ letIn, refused }).toEqual({ letIn: inFlight, refused: inFlight });
    if (tries === 10)
      throw new Error(`${unsure} of ${2 * inFlight} requests were answered neither yes nor no, ten times`);
    await nothingIsHeld(judge, leaseMs);
  }
}

/**
 * Twice as many requests as may be in flight, once. `unsure`: Redis did not answer in time, and may have held what nobody was
 * told of.
 */
async function askForAll(stage: Stage) {
  const { upstream } = stage.fleet;
  upstream.holdAll();
  const statuses: (number | undefined)[] = [];
  const all = Array.from({ length: 2 * inFlight }, async (_, index) => {
    statuses.push(await call(stage, stage.alive[index % stage.alive.length] as GatewayProcess, false));
  });
  await until(async () => statuses.length + upstream.inFlight(busy) === all.length);
  const letIn = upstream.inFlight(busy);
  upstream.release();
  await Promise.all(all);
  const refused = statuses.filter((status) => status === 429).length;
  return { letIn, refused, unsure: all.length - statuses.filter((status) => status === 200).length - refused };
}

function nothingIsHeld(judge: GatewayProcess, leaseMs: number): Promise<void> {
  return until(async () => (await usageOf(judge, "busy").catch(() => undefined))?.inFlight === 0, leaseMs + 10_000);
}

/** The events of requests that were let in. */
function admittedOf(sink: FlappingSink): readonly UsageEvent[] {
  return [...sink.events.values()].filter(({ outcome }) => outcome !== "refused");
}

/** The number that a request bears, as its event tells it. */
function numberOf({ id }: UsageEvent): string {
  return id.slice(0, id.lastIndexOf("."));
}

/** The numbers of the requests that the upstream saw. */
function sentOf({ fleet }: Stage): ReadonlySet<string> {
  return new Set(fleet.upstream.calls.flatMap(({ json }) => /request-\d+/.exec(JSON.stringify(json)) ?? []));
}

/** Requests that the upstream saw and the sink was not told of. */
function untold(stage: Stage): readonly string[] {
  const told = new Set(admittedOf(stage.sink).map(numberOf));
  return [...sentOf(stage)].filter((number) => !told.has(number));
}

async function checkBooks(stage: Stage, events: readonly UsageEvent[], judge: GatewayProcess): Promise<void> {
  // One event a request, and no two versions of it.
  expect(new Set(events.map(numberOf)).size).toBe(events.length);
  expect(stage.sink.different).toEqual([]);
  const charged = new Set(events.filter((event) => event.charged).map(numberOf));
  // Charged is what was sent on, and what its caller got to the end of is charged.
  const sent = sentOf(stage);
  expect([...charged].filter((number) => !sent.has(number))).toEqual([]);
  expect([...stage.whole].filter((number) => !charged.has(number))).toEqual([]);
  let usage: object | undefined;
  await until(async () => {
    usage = await usageOf(judge, "busy").catch(() => undefined);
    return usage !== undefined;
  });
  expect(usage).toEqual({ used: charged.size, inFlight: 0 });
}

/** A gateway that is told to end delivers what waits before it does; nobody else is there who could. */
async function deliveredBeforeTheEnd(stage: Stage): Promise<void> {
  const { sink } = stage;
  const [last, ...others] = stage.alive as [GatewayProcess, ...GatewayProcess[]];
  for (const other of others) {
    other.signal("SIGTERM");
    expect(await other.ended).toBe(0);
  }
  sink.down();
  const failures = sink.failures;
  await Promise.all(Array.from({ length: 30 }, (_, index) => call(stage, last, index % 2 === 0)));
  await until(async () => sink.failures >= failures + 2);
  last.signal("SIGTERM");
  await sleep(200);
  sink.up();
  expect(await last.ended).toBe(0);
  expect(untold(stage)).toEqual([]);
}
