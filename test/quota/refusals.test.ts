import { describe, expect, it } from "vitest";
import type { QuotaRequest } from "../../src/quota/quota.js";
import { createRefusals } from "../../src/quota/refusals.js";
import type { Rule } from "../../src/quota/store.js";
import { makeActor } from "../helpers/make-actor.js";
import { estimating, limits, makeRequest, neverEstimate, testQuota, unknown } from "./setup.js";

const minuteMs = 60_000;

/** A quota with one request of one used, committed unless said otherwise. */
async function usedUp(request = limits({ amount: 1, windowMs: minuteMs }), { commit = true } = {}) {
  const made = testQuota();
  const hold = await made.quota.reserve(makeRequest(request));
  if (commit) await hold.commit({ tokens: 1_000, microdollars: undefined }, "completed");
  return {
    ...made,
    hold,
    /** The reason that another such request is refused with, or undefined. */
    refused: async (overrides: Partial<QuotaRequest> = {}): Promise<string | undefined> => {
      const next = makeRequest({ ...request, ...overrides });
      return made.quota.reserve(next).then(
        () => undefined,
        (error: { reason: string }) => error.reason,
      );
    },
  };
}

describe("a refusal", () => {
  it("is asked of the store once, with the same answer until `retryAt`", async () => {
    const { quota, refused, asked, clock } = await usedUp();
    const first = await quota.reserve(makeRequest(limits({ amount: 1, windowMs: minuteMs }))).catch((e: unknown) => e);
    for (let i = 0; i < 100; i++) expect(await refused()).toBe("QUOTA_EXCEEDED");
    await clock.advanceMs(minuteMs - 1);
    const last = await quota.reserve(makeRequest(limits({ amount: 1, windowMs: minuteMs }))).catch((e: unknown) => e);
    expect(last).toEqual(first);
    expect(asked("reserve")).toBe(2);
    await clock.advanceMs(1);
    expect(await refused()).toBeUndefined();
    expect(asked("reserve")).toBe(3);
  });

  it("is checked again after a minute, however long the window is", async () => {
    const { refused, asked, clock } = await usedUp(limits({ amount: 1 }));
    await refused();
    await clock.advanceMs(minuteMs - 1);
    await refused();
    expect(asked("reserve")).toBe(2);
    await clock.advanceMs(1);
    await refused();
    expect(asked("reserve")).toBe(3);
  });

  it("is forgotten when the usage is reset", async () => {
    const { quota, refused } = await usedUp();
    await refused();
    await quota.reset(makeRequest(limits({})).actor, "chat_completions");
    expect(await refused()).toBeUndefined();
  });

  it("is forgotten on request", async () => {
    const { quota, refused, asked } = await usedUp();
    await refused();
    quota.forget({ source: "static", id: "another" });
    await refused();
    expect(asked("reserve")).toBe(2);
    quota.forget({ source: "static", id: "acme" });
    await refused();
    expect(asked("reserve")).toBe(3);
  });

  it.each([
    ["amount", { amount: 2, windowMs: minuteMs }],
    ["interval", { amount: 1, windowMs: minuteMs / 2 }],
  ])("does not stand for a limit whose %s was changed", async (_, limit) => {
    const { refused, clock } = await usedUp();
    await refused();
    await clock.advanceMs(minuteMs / 2);
    expect(await refused(limits(limit))).toBeUndefined();
  });

  it("does not stand for other models, features and actors", async () => {
    const { refused } = await usedUp(limits({ amount: 1, models: ["anthropic/*"] }));
    await refused();
    expect(await refused({ model: "openai/gpt" })).toBeUndefined();
    expect(await refused(makeRequest({ feature: "chat_completions" }))).toBeUndefined();
    const { actor } = limits({ amount: 1, models: ["anthropic/*"] });
    expect(await refused({ actor: { ...(actor ?? makeActor()), id: "other" } })).toBeUndefined();
  });

  it("stands only for requests that ask for as much", async () => {
    const tokens = limits({ amount: 1_100, unit: "tokens" });
    const { refused, asked } = await usedUp(tokens);
    expect(await refused({ estimate: estimating(300, 0) })).toBe("QUOTA_EXCEEDED");
    expect(await refused({ estimate: estimating(300, 0) })).toBe("QUOTA_EXCEEDED");
    expect(asked("reserve")).toBe(2);
    expect(await refused({ estimate: estimating(50, 0) })).toBeUndefined();
  });

  it("costs no estimate when nothing is left at all", async () => {
    const { refused } = await usedUp(limits({ amount: 1_000, unit: "tokens" }));
    await refused();
    expect(await refused({ estimate: neverEstimate })).toBe("QUOTA_EXCEEDED");
  });

  it("ends with the hold that alone was in the way", async () => {
    const { hold, refused, asked } = await usedUp(limits({ amount: 1 }), { commit: false });
    await refused();
    await refused();
    expect(asked("reserve")).toBe(2);
    await hold.refund("failed");
    expect(await refused()).toBeUndefined();
  });

  it("stands when settled units alone are in the way, whatever else is settled", async () => {
    const request = limits({ amount: 1, models: ["anthropic/*"] }, { amount: 5 });
    const { quota, refused, asked } = await usedUp(request);
    const other = await quota.reserve(makeRequest({ ...request, model: "openai/gpt" }));
    await refused();
    await other.refund("failed");
    expect(await refused()).toBe("QUOTA_EXCEEDED");
    expect(asked("reserve")).toBe(3);
  });

  it("is believed for a moment only when holds of other processes may lift it", async () => {
    const { refused, asked, clock } = await usedUp(limits({ amount: 1 }), { commit: false });
    await refused();
    await clock.advanceMs(99);
    await refused();
    expect(asked("reserve")).toBe(2);
    await clock.advanceMs(1);
    await refused();
    expect(asked("reserve")).toBe(3);
  });

  it("for too much in flight ends with the next settlement", async () => {
    const actor = makeActor({ features: { chat_completions: { inFlight: 1 } } });
    const { hold, refused, asked } = await usedUp({ actor }, { commit: false });
    expect([await refused(), await refused()]).toEqual(["TOO_MANY_IN_FLIGHT", "TOO_MANY_IN_FLIGHT"]);
    expect(asked("reserve")).toBe(2);
    await hold.commit(unknown, "completed");
    expect(await refused()).toBeUndefined();
  });
});

describe("refusals", () => {
  const rule: Rule = { kind: "window", key: "k", limit: 1, windowMs: 1_000, amount: 1 };
  const state = { key: "k", used: 1, held: 0, limit: 1, resetAt: 1_000 };
  const plain = { feature: "embeddings", unit: "requests", models: undefined, burst: false, perUser: false } as const;
  const limit = { ...rule, ...plain, rule, appliesTo: () => true };
  const demand = { amountOf: () => 1, expectation: undefined };

  it("are remembered of so many actors only", () => {
    const refusals = createRefusals({ maxActors: 2 });
    for (const actor of ["a", "b", "a", "c"])
      refusals.add(actor, [rule], { kind: "refused", state, retryAt: 1_000 }, 0);
    expect(["a", "b", "c"].filter((actor) => refusals.find(actor, [limit], demand, 0))).toEqual(["a", "c"]);
  });

  it("are remembered of so many counters of an actor only", () => {
    const refusals = createRefusals({ maxCounters: 2 });
    const keyed = (key: string) => ({ ...limit, key, rule: { ...rule, key } });
    for (const key of ["a", "b", "a", "c"])
      refusals.add("actor", [{ ...rule, key }], { kind: "refused", state: { ...state, key }, retryAt: 1_000 }, 0);
    expect(["a", "b", "c"].filter((key) => refusals.find("actor", [keyed(key)], demand, 0))).toEqual(["a", "c"]);
  });
});
