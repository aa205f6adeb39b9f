// Whole gateways while Redis is away in one way or another: what callers, probes and operators see, and what is counted.

import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Feature } from "../../gen/codygateway/v1/common_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { adminOf } from "../helpers/admin.js";
import { endUserOf, type GatewayProcess, tokenOf, usageOf } from "../helpers/processes.js";
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
    expect(await gateway.metric("cody_gateway_quota_store_up")).toBe(1);
    // What timed out is not charged later.
    const served = fleet.upstream.count(endUserOf("acme"));
    await until(async () => (await usageOf(gateway, "acme")).used === served);
    expect(await unavailable()).toBe(before + refused + soon.refused);
  });
});

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
    expect(error?.code, `${call}: ${error}`).toBe(Code.Unavailable);
    expect(error?.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "QUOTA_STORE_UNAVAILABLE" }]);
    expect(error?.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n } }]);
  }
}

describe("with allow:3", () => {
  const absences: readonly (readonly [string, (on: Stage) => Promise<() => Promise<unknown>>])[] = [
    [
      "stops and goes on",
      async ({ redis }) => {
        redis.freeze();
        return async () => redis.thaw();
      },
    ],
    [
      "crashes and is started again",
      async ({ redis }) => {
        await redis.kill();
        return () => redis.start();
      },
    ],
  ];

  it.each(absences)(
    "exactly 3 pass blind for each process and actor while Redis %s, and are charged then",
    async (_, begin) => {
      await using on = await stageAway({
        gateways: 2,
        actors: { other: [{ limit: 2, per: "24h" }] },
        file: { quotaStoreFailure: { chat_completions: "allow:3" } },
      });
      const { fleet } = on;
      const end = await begin(on);
      const statuses = async (actor: string): Promise<number[]> => {
        const answers = fleet.gateways.map((each) => Promise.all(Array.from({ length: 10 }, () => each.chat(actor))));
        return (await Promise.all(answers)).flatMap((of) => of.map(({ status }) => status).toSorted((a, b) => a - b));
      };
      const passing3Of10 = [200, 200, 200, ...Array.from({ length: 7 }, () => 503)];

      expect(await statuses("acme")).toEqual([...passing3Of10, ...passing3Of10]);
      expect(await statuses("other")).toEqual([...passing3Of10, ...passing3Of10]);
      expect(await statuses("acme")).toEqual(Array.from({ length: 20 }, () => 503));
      expect(fleet.upstream.count(endUserOf("other"))).toBe(6);
      // Operators are told, and no balancer is told to stay: there is little left to give.
      for (const gateway of fleet.gateways) {
        const decided = (decision: string) =>
          gateway.metric("cody_gateway_quota_decisions_total", `decision="${decision}"`);
        expect([await decided("blind"), await decided("unavailable")]).toEqual([6, 7 + 7 + 10]);
        expect((await gateway.get("/readyz")).status).toBe(503);
      }

      await end();
      const [gateway] = fleet.gateways as [GatewayProcess];
      await Promise.all(fleet.gateways.map((each) => each.ready()));
      await until(async () => (await usageOf(gateway, "acme").catch(() => undefined))?.used === 2 + 6);
      // More than the limit: what was let in blind is a debt.
      await until(async () => (await usageOf(gateway, "other").catch(() => undefined))?.used === 6);
      expect(await Promise.all(fleet.gateways.map(async (each) => (await each.chat("other")).status))).toEqual([
        429, 429,
      ]);
      // Each has its event, charged once.
      const charged = async () =>
        new Set(
          (await fleet.events()).flatMap(({ actor, charged, id }) => (charged && actor?.id === "other" ? [id] : [])),
        );
      await until(async () => (await charged()).size === 6);
    },
  );
});

describe("what is charged", () => {
  /** What the actor has used, as the typed API and `/v1/limits` tell, and what the upstream saw of it. */
  async function books({ gateway, fleet }: Stage): Promise<{ used: number; told: number; seen: number }> {
    const { chat_completions: told } = JSON.parse((await gateway.get("/v1/limits", "acme")).body) as {
      chat_completions: { usage: number };
    };
    return {
      used: (await usageOf(gateway, "acme")).used,
      told: told.usage,
      seen: fleet.upstream.count(endUserOf("acme")),
    };
  }

  /** Resolves once all that was seen is charged; and then nothing comes on top when what was tried again has been. */
  async function expectBalanced(on: Stage): Promise<void> {
    await untilServed(on.gateway);
    await until(async () => {
      const { used, seen } = await books(on);
      return used === seen;
    });
    await sleep(1_500);
    const { used, told, seen } = await books(on);
    expect([used, told]).toEqual([seen, seen]);
    expect((await usageOf(on.gateway, "acme")).inFlight).toBe(0);
    const charged = (await on.fleet.events()).filter(({ charged, actor }) => charged && actor?.id === "acme");
    expect(new Set(charged.map(({ id }) => id)).size).toBe(seen);
  }

  it("is nothing twice, and nothing that was not sent, when answers are lost and connections break", async () => {
    await using on = await stageAway();
    const { proxy, gateway, fleet } = on;
    const acme = endUserOf("acme");
    for (let round = 0; round < 3; round++) {
      proxy.pass("requests", { newToo: false });
      const lost = await Promise.all(Array.from({ length: 20 }, () => gateway.chat("acme")));
      expect(new Set(lost.map(({ status }) => status))).toEqual(new Set([503]));
      proxy.reset();
      await untilServed(gateway);
    }

    // The answer to the settlement gets lost.
    const served = fleet.upstream.count(acme);
    fleet.upstream.holdAll();
    const underWay = Array.from({ length: 10 }, () => gateway.chat("acme"));
    await until(async () => fleet.upstream.count(acme) === served + 10);
    proxy.pass("requests", { newToo: false });
    fleet.upstream.release();
    const answers = await Promise.all(underWay);
    proxy.reset();
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await expectBalanced(on);
  });

  it("is nothing late when Redis stops for 2 s and goes on", async () => {
    await using on = await stageAway();
    const { redis, gateway, fleet } = on;
    const acme = endUserOf("acme");
    const served = fleet.upstream.count(acme);
    fleet.upstream.holdAll();
    const underWay = Array.from({ length: 10 }, (_, i) => gateway.chat("acme", { stream: i % 2 === 0 }));
    await until(async () => fleet.upstream.count(acme) === served + 10);

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
