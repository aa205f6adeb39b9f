import { describe, expect, it, onTestFinished } from "vitest";
import type { Feature, FeatureAccess } from "../../src/actors/actor.js";
import { createMemoryQuotaStore } from "../../src/quota/memory-store.js";
import { createQuota } from "../../src/quota/quota.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { makeAccess, makeActor, makeLimit } from "../helpers/make-actor.js";
import { admitted, chat, estimating, limits, makeRequest, neverEstimate, testQuota, unknown } from "./setup.js";

const dayMs = 86_400_000;
const minuteMs = 60_000;

describe("access", () => {
  it("refuses an actor whose access is disabled", async () => {
    const { quota } = testQuota();
    const actor = makeActor({ accessEnabled: false });
    await expect(quota.reserve(makeRequest({ actor }))).rejects.toMatchObject({ reason: "ACCESS_DISABLED" });
  });

  it("refuses a feature that the actor does not have", async () => {
    const { quota } = testQuota();
    const request = makeRequest({ feature: "embeddings" });
    await expect(quota.reserve(request)).rejects.toMatchObject({
      reason: "FEATURE_NOT_GRANTED",
      feature: "embeddings",
    });
  });

  it.each<[string, Partial<FeatureAccess>]>([
    ["0", { limits: [makeLimit({ amount: 0 })] }],
    ["a negative number", { limits: [makeLimit({ amount: -1 })] }],
    ["no number", { limits: [makeLimit({ amount: Number.NaN })] }],
    ["less than 1", { limits: [makeLimit({ amount: 0.9 })] }],
    ["a second limit of 0", { limits: [makeLimit(), makeLimit({ amount: 0, unit: "tokens" })] }],
    ["an interval of 0", { limits: [makeLimit({ windowMs: 0 })] }],
    ["an interval that is no number", { limits: [makeLimit({ windowMs: Number.NaN })] }],
    ["0 in flight", { inFlight: 0 }],
  ])("takes a limit of %s for no access", async (_, access) => {
    const { quota, calls } = testQuota();
    await expect(quota.reserve(makeRequest(chat(access)))).rejects.toMatchObject({ reason: "FEATURE_NOT_GRANTED" });
    expect(calls).toEqual([]);
  });

  it("takes a limit of 1 for one request", async () => {
    const { quota } = testQuota();
    expect(await admitted(quota, 3, limits({ amount: 1 }))).toBe(1);
  });

  it("does not ask the store for actors without limits", async () => {
    const { quota, calls } = testQuota();
    const hold = await quota.reserve(makeRequest());
    hold.reached();
    await hold.commit(unknown, "completed");
    await hold.refund("failed");
    expect(hold.states).toEqual([]);
    expect(calls).toEqual([]);
  });

  it("does not ask the store when no limit is for the model", async () => {
    const { quota, calls } = testQuota();
    await quota.reserve(makeRequest(limits({ amount: 1, models: ["openai/*", "anthropic/opus"] })));
    expect(calls).toEqual([]);
  });
});

describe("limits", () => {
  it("admits exactly the limit of many at once", async () => {
    const { quota } = testQuota();
    expect(await admitted(quota, 100, limits({ amount: 30 }))).toBe(30);
  });

  it("says which limit refused, and when the same request passes", async () => {
    const { quota, clock } = testQuota();
    const request = limits({ amount: 2, windowMs: dayMs });
    await admitted(quota, 1, request);
    await clock.advanceMs(1_000);
    await admitted(quota, 1, request);
    const retryAt = new Date(clock.now() - 1_000 + dayMs);
    await expect(quota.reserve(makeRequest(request))).rejects.toMatchObject({
      reason: "QUOTA_EXCEEDED",
      limit: { feature: "chat_completions", unit: "requests", used: 2, limit: 2 },
      retryAt,
    });
    await clock.advanceMs(retryAt.getTime() - clock.now() - 1);
    expect(await admitted(quota, 1, request)).toBe(0);
    await clock.advanceMs(1);
    expect(await admitted(quota, 3, request)).toBe(2);
  });

  it("counts each feature for itself", async () => {
    const { quota } = testQuota();
    const access = makeAccess({ limits: [makeLimit({ amount: 1 })] });
    const actor = makeActor({ features: { chat_completions: access, code_completions: access } });
    const features: Feature[] = ["chat_completions", "code_completions", "chat_completions"];
    const answers = await Promise.allSettled(features.map((feature) => quota.reserve(makeRequest({ actor, feature }))));
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  });

  it.each([
    ["id", { id: "other" }],
    ["source", { source: "other" }],
  ])("counts actors that differ in %s for themselves", async (_, overrides) => {
    const { quota } = testQuota();
    const { actor = makeActor() } = limits({ amount: 1 });
    await quota.reserve(makeRequest({ actor }));
    await quota.reserve(makeRequest({ actor: { ...actor, ...overrides } }));
  });

  it("keeps limits of different lengths apart, and consumes of none when one refuses", async () => {
    const { quota, clock } = testQuota();
    const request = limits({ amount: 3, windowMs: dayMs }, { amount: 2, windowMs: minuteMs });
    expect(await admitted(quota, 5, request)).toBe(2);
    await clock.advanceMs(minuteMs);
    expect(await admitted(quota, 5, request)).toBe(1);
  });

  it("keeps limits that are alike but for their amount apart", async () => {
    const { quota } = testQuota();
    expect(await admitted(quota, 9, limits({ amount: 5 }, { amount: 3 }))).toBe(3);
  });

  it("counts a model in its own limit and in the limit of all", async () => {
    const { quota } = testQuota();
    const request = limits({ amount: 3 }, { amount: 1, models: ["Anthropic/*"] });
    expect(await admitted(quota, 2, { ...request, model: "anthropic/Claude" })).toBe(1);
    expect(await admitted(quota, 5, { ...request, model: "openai/gpt" })).toBe(2);
  });

  it("keeps limits of different models apart, and knows the same models in another order and spelling", async () => {
    const { quota } = testQuota();
    const count = (models: string[], model: string) => admitted(quota, 1, { ...limits({ amount: 1, models }), model });
    expect(await count(["a/*", "b/*"], "a/1")).toBe(1);
    expect(await count(["c/*", "a/*"], "a/1")).toBe(1);
    expect(await count(["B/*", "A/*", "a/*"], "a/1")).toBe(0);
  });

  it("takes a pattern for every model for no pattern", async () => {
    const { quota } = testQuota();
    expect(await admitted(quota, 1, limits({ amount: 1 }))).toBe(1);
    expect(await admitted(quota, 1, limits({ amount: 1, models: ["x", "*"] }))).toBe(0);
  });

  it("goes on counting when amounts and lengths are changed", async () => {
    const { quota, clock } = testQuota();
    expect(await admitted(quota, 9, limits({ amount: 4 }))).toBe(4);
    expect(await admitted(quota, 9, limits({ amount: 3 }))).toBe(0);
    expect(await admitted(quota, 9, limits({ amount: 6 }))).toBe(2);
    expect(await admitted(quota, 9, limits({ amount: 7, windowMs: 2 * dayMs }))).toBe(1);
    await clock.advanceMs(minuteMs);
    expect(await admitted(quota, 9, limits({ amount: 7, windowMs: minuteMs }))).toBe(7);
  });

  it("refuses bursts as too much at once, with the burst's numbers", async () => {
    const { quota, clock } = testQuota();
    const request = limits({ amount: 2, windowMs: 10_000, burst: true }, { amount: 100 });
    const hold = await quota.reserve(makeRequest(request));
    expect(hold.states.map(({ limit, burst }) => [limit, burst])).toEqual([
      [100, false],
      [2, true],
    ]);
    await admitted(quota, 1, request);
    await expect(quota.reserve(makeRequest(request))).rejects.toMatchObject({
      reason: "TOO_MANY_IN_FLIGHT",
      limit: { unit: "requests", used: 2, limit: 2 },
      retryAt: new Date(clock.now() + 10_000),
    });
    await clock.advanceMs(10_000);
    expect(await admitted(quota, 5, request)).toBe(2);
  });

  it("says quota exceeded when both the quota and the burst are used up", async () => {
    const { quota } = testQuota();
    const request = limits({ amount: 1 }, { amount: 1, windowMs: 10_000, burst: true });
    await admitted(quota, 1, request);
    await expect(quota.reserve(makeRequest(request))).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED" });
  });

  it("counts requests in flight, and tells the next one to come again in a moment", async () => {
    const { quota, clock } = testQuota();
    const request = chat({ inFlight: 2 });
    const [first, second] = [await quota.reserve(makeRequest(request)), await quota.reserve(makeRequest(request))];
    const refused = await quota.reserve(makeRequest(request)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ reason: "TOO_MANY_IN_FLIGHT", limit: { unit: "in_flight", used: 2, limit: 2 } });
    const { retryAt } = refused as { retryAt: Date };
    expect(retryAt.getTime() - clock.now()).toBeGreaterThanOrEqual(1_000);
    expect(retryAt.getTime() - clock.now()).toBeLessThanOrEqual(2_000);
    await first.commit(unknown, "completed");
    await second.refund("failed");
    expect(await admitted(quota, 5, request)).toBe(2);
  });

  it("shows where the limits stand at admission, and after the settlement", async () => {
    const { quota, clock } = testQuota();
    const hold = await quota.reserve(makeRequest(chat({ limits: [makeLimit({ amount: 5 })], inFlight: 3 })));
    const resetAt = new Date(clock.now() + dayMs);
    const common = { feature: "chat_completions", models: undefined, perUser: false, burst: false };
    expect(hold.states).toEqual([
      { ...common, unit: "requests", limit: 5, used: 1, held: 1, remaining: 4, resetAt, windowMs: dayMs },
      {
        ...common,
        unit: "in_flight",
        limit: 3,
        used: 1,
        held: 1,
        remaining: 2,
        resetAt: undefined,
        windowMs: undefined,
      },
    ]);
    await hold.commit(unknown, "completed");
    expect(hold.states.map(({ used, held, remaining }) => [used, held, remaining])).toEqual([
      [1, 0, 4],
      [0, 0, 3],
    ]);
  });

  it("decides alike with clocks that differ by hours, and tells times by the gateway's own", async () => {
    const clock = fakeClock();
    const store = createMemoryQuotaStore({ clock });
    const gateways = [-90, 0, 90].map((minutes) => {
      const own = { now: () => clock.now() + minutes * minuteMs };
      return { own, quota: createQuota({ store, clock: own }) };
    });
    onTestFinished(async () => void (await Promise.all(gateways.map(({ quota }) => quota.close()))));
    const request = limits({ amount: 2 });
    for (const { quota } of gateways.slice(0, 2)) expect(await admitted(quota, 1, request)).toBe(1);
    await clock.advanceMs(minuteMs);
    for (const { quota, own } of gateways) {
      const retryAt = new Date(own.now() + dayMs - minuteMs);
      await expect(quota.reserve(makeRequest(request))).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED", retryAt });
      expect([...(await quota.limits(makeRequest(request).actor)).values()].flat()).toMatchObject([
        { resetAt: retryAt },
      ]);
    }
    await clock.advanceMs(dayMs);
    for (const { quota } of gateways.slice(0, 2)) expect(await admitted(quota, 1, request)).toBe(1);
  });
});

describe("settlement", () => {
  it("gives a refunded request back, and keeps a committed one", async () => {
    const { quota } = testQuota();
    const request = limits({ amount: 2 });
    const [first, second] = [await quota.reserve(makeRequest(request)), await quota.reserve(makeRequest(request))];
    await first.commit(unknown, "completed");
    await second.refund("failed");
    expect(await admitted(quota, 5, request)).toBe(1);
  });

  it("settles once, whatever is asked of it afterwards", async () => {
    const { quota, asked } = testQuota();
    const request = limits({ amount: 2 });
    const hold = await quota.reserve(makeRequest(request));
    await Promise.all([hold.commit(unknown, "completed"), hold.refund("failed"), hold.commit(unknown, "completed")]);
    expect([asked("commit"), asked("refund")]).toEqual([1, 0]);
    expect(await admitted(quota, 5, request)).toBe(1);
  });

  it.each([
    ["more than held", 300, 300],
    ["less than held", 1, 1],
    ["0", 0, 0],
    ["a fraction", 10.4, 10],
    ["unknown", undefined, 150],
    ["no number", Number.NaN, 150],
    ["a negative number", -5, 150],
  ])("charges tokens as used: %s", async (_, tokens, expected) => {
    const { quota } = testQuota();
    const estimate = estimating(100, 50);
    const hold = await quota.reserve(makeRequest({ ...limits({ amount: 1_000, unit: "tokens" }), estimate }));
    expect(hold.states).toMatchObject([{ unit: "tokens", used: 150, held: 150 }]);
    await hold.commit({ tokens, microdollars: 7 }, "completed");
    expect(hold.states).toMatchObject([{ used: expected, held: 0 }]);
  });

  it("charges each limit in its own unit", async () => {
    const { quota } = testQuota();
    const request = limits({}, { unit: "tokens", amount: 1_000 }, { unit: "microdollars", amount: 1_000 });
    const hold = await quota.reserve(
      makeRequest({
        ...request,
        estimate: estimating(10, 5),
        price: ({ inputTokens, outputTokens }) => inputTokens * 2 + outputTokens * 10,
      }),
    );
    expect(hold.states.map(({ used }) => used)).toEqual([1, 15, 70]);
    await hold.commit({ tokens: 12, microdollars: 40 }, "completed");
    expect(hold.states.map(({ used }) => used)).toEqual([1, 12, 40]);
  });

  it("learns from what was used how much to hold", async () => {
    const { quota } = testQuota();
    const request = makeRequest({ ...limits({ amount: 10_000, unit: "tokens" }), estimate: estimating(100, 2_000) });
    const first = await quota.reserve(request);
    await first.commit({ tokens: 150, microdollars: undefined }, "completed");
    const second = await quota.reserve({ ...request, requestId: "second" });
    expect([first, second].map(({ states }) => states[0]?.used)).toEqual([150, 300]);
  });

  it("estimates a request once, however many limits ask for it", async () => {
    const { quota } = testQuota();
    let estimates = 0;
    const estimate = () => ({ promptTokens: ++estimates, maxOutputTokens: 0 });
    await quota.reserve(makeRequest({ ...limits({ unit: "tokens" }, { unit: "microdollars" }), estimate }));
    expect(estimates).toBe(1);
  });

  it("does not estimate a request that is limited in requests only", async () => {
    const { quota } = testQuota();
    await quota.reserve(makeRequest({ ...chat({ limits: [makeLimit()], inFlight: 1 }), estimate: neverEstimate }));
  });
});

describe("decisions", () => {
  it("are told of with their reason", async () => {
    const { quota, decisions } = testQuota();
    const feature = "chat_completions";
    await admitted(quota, 2, limits({ amount: 1 }));
    await admitted(quota, 1, { actor: makeActor({ accessEnabled: false }) });
    await admitted(quota, 1, {});
    expect(decisions).toEqual([
      { feature, kind: "admitted" },
      { feature, kind: "refused", reason: "QUOTA_EXCEEDED" },
      { feature, kind: "refused", reason: "ACCESS_DISABLED" },
      { feature, kind: "admitted" },
    ]);
  });
});
