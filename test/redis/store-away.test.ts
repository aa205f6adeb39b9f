// Whole gateways while Redis is away in one way or another: what callers, probes and operators see, and what is counted.

import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Feature } from "../../gen/codygateway/v1/common_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { adminOf } from "../helpers/admin.js";
import { type Answer, endUserOf, type GatewayProcess, tokenOf, usageOf } from "../helpers/processes.js";
import { until } from "../helpers/redis.js";
import { faults, type Stage, stageAway, steadily, untilServed, waitOf } from "../scenarios/store-away.js";

/**
 * Bounds for a machine that has other things to do, beside what a caller waits whose requests do not need Redis: far below what a
 * call would take that waits for Redis, and a connection that is made anew ever more rarely. The figures themselves are measured
 * by `npm run test:soak`.
 */
const atOnceMs = 60;
const waitedMs = 400;
const soonMs = 5_000;

describe.sequential("a gateway whose Redis is away, and is there again, without a restart", () => {
  let on: Stage;
  beforeAll(async () => {
    on = await stageAway();
  });
  afterAll(() => on?.[Symbol.asyncDispose]());

  it.each(faults)("$name: 503 in bounded time, said to all who ask, and normal soon after", async (fault) => {
    const { gateway, fleet } = on;
    const sent = fleet.upstream.count(endUserOf("acme"));
    const unavailable = () => gateway.metric("cody_gateway_quota_decisions_total", 'decision="unavailable"');
    const before = (await unavailable()) ?? 0;
    const end = await fault.begin(on);

    // Those under way when it happens wait for the timeout; once that is known nobody waits.
    const first = await steadily(gateway, 800);
    let refused = first.limited.filter(({ status }) => status !== 200).length;
    if (fault.passes === undefined) {
      const [later] = await Promise.all([steadily(gateway, 400), expectSaid(gateway)]);
      expect(new Set([...first.limited, ...later.limited].map(({ status }) => status))).toEqual(new Set([503]));
      expect(fleet.upstream.count(endUserOf("acme"))).toBe(sent);
      expect(waitOf(later.limited, 0.5)).toBeLessThan(waitOf(later.free, 0.5) + atOnceMs);
      refused += later.limited.length;
    }
    // Nobody else notices anything.
    expect(new Set(first.free.map(({ status }) => status))).toEqual(new Set([200]));
    expect(waitOf(first.limited, 0.9)).toBeLessThan(waitOf(first.free, 0.9) + waitedMs);
    expect(refused).toBeGreaterThan(0);
    for (const { status, headers } of first.limited)
      if (status !== 200) expect([status, Number(headers["retry-after"]) >= 1]).toEqual([503, true]);

    await end();
    const soon = await untilServed(gateway);
    expect(soon.tookMs).toBeLessThan(soonMs);
    await gateway.ready();
    await until(async () => (await gateway.metric("cody_gateway_quota_store_up")) === 1);
    // What timed out is not charged later.
    const served = fleet.upstream.count(endUserOf("acme"));
    await until(async () => (await usedOf(gateway))?.[0] === served);
    expect(await unavailable()).toBe(before + refused + soon.refused);
  });

  it("charges nothing twice, and nothing that was not sent, when answers are lost and connections break", async () => {
    const { proxy, gateway, fleet } = on;
    for (let round = 0; round < 3; round++) {
      proxy.pass("requests", { newToo: false });
      const lost = await Promise.all(Array.from({ length: 20 }, () => gateway.chat("acme")));
      expect(new Set(lost.map(({ status }) => status))).toEqual(new Set([503]));
      proxy.reset();
      await untilServed(gateway);
    }

    // The answer to the settlement gets lost.
    const underWay = await holdTen(on);
    proxy.pass("requests", { newToo: false });
    fleet.upstream.release();
    const answers = await Promise.all(underWay);
    proxy.reset();
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await expectBalanced(on);
  });

  it("charges nothing late when Redis stops for 2 s and goes on", async () => {
    const { redis, gateway, fleet } = on;
    const underWay = await holdTen(on);

    redis.freeze();
    const stopped = Promise.all(Array.from({ length: 200 }, () => gateway.chat("acme")));
    // Their settlements come while it stands still.
    fleet.upstream.release();
    await sleep(2_000);
    const refused = await stopped;
    redis.thaw();

    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]));
    expect(new Set((await Promise.all(underWay)).map(({ status }) => status))).toEqual(new Set([200]));
    await expectBalanced(on);
  });
});

/** Ten requests that wait at the upstream. */
async function holdTen({ gateway, fleet }: Stage): Promise<readonly Promise<Answer>[]> {
  fleet.upstream.holdAll();
  const answers = Array.from({ length: 10 }, async (_, index) => {
    for (;;) {
      const answer = await gateway.chat("acme", { stream: index % 2 === 0 });
      // A busy machine may keep Redis from answering in time.
      if (answer.status !== 503) return answer;
    }
  });
  await until(async () => fleet.upstream.inFlight(endUserOf("acme")) === 10);
  return answers;
}

/** What the actor has used, as the typed API and `/v1/limits` tell; undefined when one does not know. */
async function usedOf(gateway: GatewayProcess): Promise<readonly [number, number] | undefined> {
  const typed = await usageOf(gateway, "acme").catch(() => undefined);
  const { status, body } = await gateway.get("/v1/limits", "acme");
  if (typed === undefined || status !== 200) return undefined;
  return [typed.used, (JSON.parse(body) as { chat_completions: { usage: number } }).chat_completions.usage];
}

/** The ids of the events that say that an actor was charged. */
async function chargedTo({ fleet }: Stage, id: string): Promise<ReadonlySet<string>> {
  const charged = (await fleet.events()).filter((event) => event.charged && event.actor?.id === id);
  return new Set(charged.map((event) => event.id));
}

/** Resolves once all that the upstream saw is charged; and then nothing comes on top when what was tried again has been. */
async function expectBalanced(on: Stage): Promise<void> {
  const { gateway, fleet } = on;
  await untilServed(gateway);
  const seen = fleet.upstream.count(endUserOf("acme"));
  await until(async () => (await usedOf(gateway))?.[0] === seen);
  await sleep(1_500);
  let used: Awaited<ReturnType<typeof usedOf>>;
  await until(async () => {
    used = await usedOf(gateway);
    return used !== undefined;
  });
  expect(used).toEqual([seen, seen]);
  await until(async () => (await usageOf(gateway, "acme").catch(() => undefined))?.inFlight === 0);
  await until(async () => (await chargedTo(on, "acme")).size >= seen);
  expect((await chargedTo(on, "acme")).size).toBe(seen);
}

/** All who can ask are told that it is not known, in bounded time: nobody gets zeroes, nobody waits. */
async function expectSaid(gateway: GatewayProcess): Promise<void> {
  const token = { authorization: `Bearer ${tokenOf("acme")}` };
  const status = async (path: string) => (await gateway.get(path)).status;
  expect([await status("/readyz"), await status("/livez")]).toEqual([503, 200]);
  expect(await gateway.metric("cody_gateway_quota_store_up")).toBe(0);

  const limits = await request(`${gateway.url}/v1/limits`, { headers: token });
  expect([limits.statusCode, Number(limits.headers["retry-after"])]).toEqual([503, 1]);
  expect(await limits.body.json()).toEqual({ error: "quota store is unavailable" });

  const client = gateway.client("acme");
  const admin = adminOf(gateway);
  const actor = { source: "static", id: "acme" };
  for (const call of [
    () => client.limits.getLimits({}),
    () => client.limits.refreshLimits({}),
    () => admin.getUsage({ actor }),
    () => admin.getUsage({ actor, feature: Feature.CHAT_COMPLETIONS }),
    // Has no limits: what it used is in Redis all the same.
    () => admin.getUsage({ actor: { ...actor, id: "free" } }),
    () => admin.resetUsage({ actor, feature: Feature.CHAT_COMPLETIONS, reason: "as a test" }),
  ]) {
    const error = await call().then(
      () => undefined,
      (thrown: unknown) => ConnectError.from(thrown),
    );
    expect(error?.code, `${call.toString()}: ${error}`).toBe(Code.Unavailable);
    expect(error?.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "QUOTA_STORE_UNAVAILABLE" }]);
    expect(error?.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n } }]);
  }
}

it("with allow:3, exactly 3 pass blind for each process and actor, and are charged once Redis is back", async () => {
  const few = [{ limit: 2, per: "24h" }];
  await using on = await stageAway({
    gateways: 2,
    actors: { first: few, second: few },
    file: { quotaStoreFailure: { chat_completions: "allow:3" } },
    // So that a busy machine lets nobody else in blind.
    env: { CODY_GATEWAY_REDIS_TIMEOUT: "1s" },
  });
  const { fleet, redis } = on;
  const [gateway] = fleet.gateways as [GatewayProcess];
  const statuses = async (actor: string): Promise<number[]> => {
    const answers = fleet.gateways.map((each) => Promise.all(Array.from({ length: 10 }, () => each.chat(actor))));
    return (await Promise.all(answers)).flatMap((of) => of.map(({ status }) => status).toSorted((a, b) => a - b));
  };
  const passing3Of10 = [200, 200, 200, ...Array.from({ length: 7 }, () => 503)];

  /** One absence: `actor` and acme are let in blind, told of, and charged. */
  async function pass(actor: string, absence: number, end: () => unknown): Promise<void> {
    expect(await statuses("acme")).toEqual([...passing3Of10, ...passing3Of10]);
    expect(await statuses(actor)).toEqual([...passing3Of10, ...passing3Of10]);
    expect(await statuses("acme")).toEqual(Array.from({ length: 20 }, () => 503));
    expect(fleet.upstream.count(endUserOf(actor))).toBe(6);
    // Operators are told, and balancers to look for a gateway with more to give.
    for (const each of fleet.gateways) {
      const decided = (decision: string) => each.metric("cody_gateway_quota_decisions_total", `decision="${decision}"`);
      expect([await decided("blind"), await decided("unavailable")]).toEqual([6 * absence, 24 * absence]);
      expect((await each.get("/readyz")).status).toBe(503);
      expect(await each.metric("cody_gateway_quota_store_up")).toBe(0);
    }

    await end();
    await Promise.all(fleet.gateways.map((each) => each.ready()));
    await until(async () => (await usageOf(gateway, "acme").catch(() => undefined))?.used === 2 + 6 * absence);
    // More than the limit: what was let in blind is a debt.
    await until(async () => (await usageOf(gateway, actor).catch(() => undefined))?.used === 6);
    const refused = await Promise.all(fleet.gateways.map((each) => each.chat(actor)));
    expect(refused.map(({ status }) => status)).toEqual([429, 429]);
    const charged = async () => (await chargedTo(on, actor)).size === 6;
    await until(charged);
  }

  redis.freeze();
  await pass("first", 1, () => redis.thaw());
  await redis.kill();
  await pass("second", 2, () => redis.start());
});
