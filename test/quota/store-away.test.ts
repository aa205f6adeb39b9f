import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeActor, makeLimit } from "../helpers/make-actor.js";
import { estimating, type Fault, makeRequest, testQuota, unknown, useFakeTime } from "./setup.js";

const feature = "chat_completions";
const actor = makeActor({ features: { chat_completions: { limits: [makeLimit({ amount: 5 })], inFlight: 9 } } });
const allow3 = { storeFailure: { chat_completions: { allow: 3 } } } as const;
const unavailable = { name: "UnavailableError", reason: "QUOTA_STORE_UNAVAILABLE" };

beforeEach(useFakeTime);
afterEach(() => {
  vi.useRealTimers();
});

async function used(quota: ReturnType<typeof testQuota>["quota"], of = actor): Promise<number[]> {
  return ((await quota.limits(of)).get(feature) ?? []).map((state) => state.used);
}

describe("a reservation while the store is away", () => {
  it.each<Fault>(["away", "answers lost", "late"])("is refused as unavailable: %s", async (fault) => {
    const { quota, fail, decisions } = testQuota();
    fail(fault);
    await expect(quota.reserve(makeRequest({ actor }))).rejects.toMatchObject({ ...unavailable, retryAfterMs: 1_000 });
    expect(decisions).toEqual([{ feature, kind: "unavailable", reason: "QUOTA_STORE_UNAVAILABLE" }]);
  });

  it.each<Fault>(["away", "answers lost", "late"])("leaves nothing held: %s", async (fault) => {
    const { quota, fail, clock } = testQuota();
    fail(fault);
    for (let i = 0; i < 5; i++) await quota.reserve(makeRequest({ actor })).catch(() => undefined);
    fail(undefined);
    await clock.advanceMs(1_000);
    expect(await used(quota)).toEqual([0, 0]);
  });

  it("is not tidied up after once its lease is over", async () => {
    const { quota, fail, clock, asked } = testQuota();
    fail("answers lost");
    await quota.reserve(makeRequest({ actor })).catch(() => undefined);
    fail("away");
    await clock.advanceMs(35_000);
    const tries = asked("refund");
    await clock.advanceMs(35_000);
    expect(asked("refund")).toBe(tries);
  });

  it("passes other errors on, and what an actor without limits asks", async () => {
    const { quota, store, fail } = testQuota();
    fail("away");
    await quota.reserve(makeRequest());
    store.reserve = () => Promise.reject(new TypeError("a fault of ours"));
    await expect(quota.reserve(makeRequest({ actor }))).rejects.toThrow(TypeError);
  });

  it("makes limits, explanations and resets unavailable", async () => {
    const { quota, fail } = testQuota();
    fail("away");
    await expect(quota.limits(actor)).rejects.toMatchObject(unavailable);
    await expect(quota.explain(makeRequest({ actor }))).rejects.toMatchObject(unavailable);
    await expect(quota.reset(actor, feature)).rejects.toMatchObject(unavailable);
  });
});

describe("a settlement while the store is away", () => {
  it.each<Fault>(["away", "late"])("does not throw, and is done when the store is back: %s", async (fault) => {
    const { quota, fail, clock, lost } = testQuota();
    const tokens = makeActor({
      features: { chat_completions: { limits: [makeLimit({ unit: "tokens", amount: 900 })] } },
    });
    const hold = await quota.reserve(makeRequest({ actor: tokens }));
    const refunded = await quota.reserve(makeRequest({ actor: tokens }));
    const admitted = hold.states;
    fail(fault);
    await hold.commit({ tokens: 7, microdollars: undefined }, "completed");
    await refunded.refund("failed");
    await clock.advanceMs(20_000);
    fail(undefined);
    await clock.advanceMs(1_500);
    expect(await used(quota, tokens)).toEqual([7]);
    expect(hold.states).not.toBe(admitted);
    expect(lost).toEqual([]);
  });

  it("is renewed meanwhile, so that it can be settled at what was used", async () => {
    const { quota, clock, lost, store } = testQuota();
    const commit = store.commit.bind(store);
    const hold = await quota.reserve(makeRequest({ actor }));
    store.commit = () => Promise.reject(new Error("commits fail, all else works"));
    await hold.commit(unknown, "completed");
    await clock.advanceMs(300_000);
    store.commit = commit;
    await clock.advanceMs(1_500);
    expect(await used(quota)).toEqual([1, 0]);
    expect(lost).toEqual([]);
  });

  it("charges once when its answer was lost", async () => {
    const { quota, fail, clock, lost, asked } = testQuota();
    const hold = await quota.reserve(makeRequest({ actor }));
    fail("answers lost");
    await hold.commit(unknown, "completed");
    await clock.advanceMs(150);
    fail(undefined);
    await clock.advanceMs(2_000);
    expect(asked("commit")).toBe(3);
    expect(await used(quota)).toEqual([1, 0]);
    expect(lost).toEqual([]);
  });

  it("is given up before ids are forgotten", async () => {
    const { quota, fail, clock, lost, asked } = testQuota();
    const hold = await quota.reserve(makeRequest({ actor, requestId: "r" }));
    fail("away");
    await hold.commit(unknown, "completed");
    await clock.advanceMs(569_000);
    expect(lost).toEqual([]);
    await clock.advanceMs(3_000);
    expect(lost).toEqual(["r"]);
    const tries = asked("commit") + asked("renew");
    await clock.advanceMs(60_000);
    expect(asked("commit") + asked("renew")).toBe(tries);
  });

  it("is tried no more once the quota is closed", async () => {
    const { quota, fail, clock, asked } = testQuota();
    const hold = await quota.reserve(makeRequest({ actor }));
    fail("away");
    await hold.commit(unknown, "completed");
    void quota.close();
    await clock.advanceMs(10_000);
    expect(asked("commit")).toBe(1);
  });

  it("lets a refusal end that only it was in the way of", async () => {
    const { quota, fail, clock } = testQuota();
    const one = makeActor({ features: { chat_completions: { inFlight: 1 } } });
    const hold = await quota.reserve(makeRequest({ actor: one }));
    fail("away");
    await hold.commit(unknown, "completed");
    fail(undefined);
    await expect(quota.reserve(makeRequest({ actor: one }))).rejects.toMatchObject({ reason: "TOO_MANY_IN_FLIGHT" });
    await clock.advanceMs(150);
    await quota.reserve(makeRequest({ actor: one }));
  });
});

describe("a feature that is allowed while the store is away", () => {
  it("is admitted up to its cap for each actor", async () => {
    const { quota, fail, decisions } = testQuota(allow3);
    fail("away");
    const ask = (of = actor) => quota.reserve(makeRequest({ actor: of }));
    const holds = [await ask(), await ask(), await ask()];
    expect(holds.map(({ states }) => states)).toEqual([[], [], []]);
    await expect(ask()).rejects.toMatchObject(unavailable);
    await ask({ ...actor, id: "other" });
    expect(decisions.map(({ kind }) => kind)).toEqual(["blind", "blind", "blind", "unavailable", "blind"]);
    expect(decisions[0]).toEqual({ feature, kind: "blind", reason: "QUOTA_STORE_UNAVAILABLE" });
  });

  it("leaves other features refused", async () => {
    const { quota, fail } = testQuota(allow3);
    fail("away");
    const code = makeActor({ features: { code_completions: { limits: [makeLimit()] } } });
    const request = makeRequest({ actor: code, feature: "code_completions" });
    await expect(quota.reserve(request)).rejects.toMatchObject(unavailable);
  });

  it("does not admit what is known to be refused", async () => {
    const { quota, fail } = testQuota(allow3);
    const one = makeActor({ features: { chat_completions: { limits: [makeLimit({ amount: 1 })] } } });
    await (await quota.reserve(makeRequest({ actor: one }))).commit(unknown, "completed");
    await quota.reserve(makeRequest({ actor: one })).catch(() => undefined);
    fail("away");
    await expect(quota.reserve(makeRequest({ actor: one }))).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED" });
  });

  it.each<Fault>(["away", "answers lost", "late"])(
    "is charged when the store is back, even beyond the limit: %s",
    async (fault) => {
      const { quota, fail, clock, asked } = testQuota(allow3);
      for (let i = 0; i < 4; i++) await (await quota.reserve(makeRequest({ actor }))).commit(unknown, "completed");
      fail(fault);
      for (let i = 0; i < 3; i++) {
        const hold = await quota.reserve(makeRequest({ actor }));
        hold.reached();
        await hold.commit(unknown, "completed");
        await hold.refund("failed");
      }
      await clock.advanceMs(20_000);
      fail(undefined);
      await clock.advanceMs(1_500);
      expect(await used(quota)).toEqual([7, 0]);
      const calls = asked("commit");
      await clock.advanceMs(60_000);
      expect(asked("commit")).toBe(calls);
    },
  );

  it("charges tokens as used, or as expected where that is unknown", async () => {
    const { quota, fail, clock } = testQuota({ storeFailure: { chat_completions: { allow: 1_000 } } });
    const limits = [makeLimit({ unit: "tokens", amount: 100 })];
    const tokens = makeActor({ features: { chat_completions: { limits } } });
    const estimate = estimating(40, 0);
    fail("away");
    await (await quota.reserve(makeRequest({ actor: tokens, estimate }))).commit(unknown, "completed");
    await (await quota.reserve(makeRequest({ actor: tokens, estimate }))).commit(
      { ...unknown, tokens: 300 },
      "completed",
    );
    await (await quota.reserve(makeRequest({ actor: tokens, estimate }))).commit(
      { ...unknown, tokens: 0 },
      "completed",
    );
    fail(undefined);
    await clock.advanceMs(1_000);
    expect(await used(quota, tokens)).toEqual([340]);
  });

  it("counts its cap in the units of the first limit", async () => {
    const { quota, fail } = testQuota({ storeFailure: { chat_completions: { allow: 100 } } });
    const limits = [makeLimit({ amount: 3, burst: true }), makeLimit({ unit: "tokens" as const, amount: 1_000 })];
    const tokens = makeActor({ features: { chat_completions: { limits } } });
    const estimate = estimating(50, 0);
    fail("away");
    const ask = () => quota.reserve(makeRequest({ actor: tokens, estimate }));
    await ask();
    await ask();
    await expect(ask()).rejects.toMatchObject(unavailable);
  });

  it("gives its cap back when a request used nothing, and when it is charged", async () => {
    const { quota, fail, clock } = testQuota(allow3);
    const ask = () => quota.reserve(makeRequest({ actor }));
    fail("away");
    const [refunded, committed] = [await ask(), await ask(), await ask()];
    await refunded.refund("failed");
    await refunded.refund("failed");
    await ask();
    await expect(ask()).rejects.toMatchObject(unavailable);
    await committed.commit(unknown, "completed");
    await expect(ask()).rejects.toMatchObject(unavailable);
    fail(undefined);
    await clock.advanceMs(1_500);
    fail("away");
    await ask();
    await expect(ask()).rejects.toMatchObject(unavailable);
  });

  it("keeps nothing of a refunded request whose admission had landed", async () => {
    const { quota, fail, clock } = testQuota(allow3);
    fail("answers lost");
    await (await quota.reserve(makeRequest({ actor }))).refund("failed");
    fail(undefined);
    await clock.advanceMs(1_000);
    expect(await used(quota)).toEqual([0, 0]);
  });
});
