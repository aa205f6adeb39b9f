import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRenewals, type LiveHold } from "../../src/quota/renewal.js";
import type { Renewal } from "../../src/quota/store.js";
import { startSweep } from "../../src/quota/sweep.js";
import { makeActor, makeLimit } from "../helpers/make-actor.js";
import { makeRequest, testQuota, unknown, useFakeTime } from "./setup.js";

const minuteMs = 60_000;
const access = { limits: [makeLimit({ amount: 5 })], inFlight: 1 };
const request = { actor: makeActor({ features: { chat_completions: access } }) };

beforeEach(useFakeTime);
afterEach(() => {
  vi.useRealTimers();
});

describe("a hold", () => {
  it("lives as long as it is renewed", async () => {
    const { quota, clock, abandoned } = testQuota();
    const hold = await quota.reserve(makeRequest(request));
    await clock.advanceMs(10 * minuteMs);
    await expect(quota.reserve(makeRequest(request))).rejects.toMatchObject({ reason: "TOO_MANY_IN_FLIGHT" });
    await hold.refund("failed");
    await quota.reserve(makeRequest(request));
    expect(abandoned).toEqual([]);
  });

  it("survives renewals that fail for 19 s, at whatever moment", async () => {
    for (const startMs of [0, 1, 5_000, 9_999]) {
      const { quota, clock, abandoned, fail } = testQuota();
      const hold = await quota.reserve(makeRequest(request));
      await clock.advanceMs(10_000 + startMs);
      fail("away");
      await clock.advanceMs(19_000);
      fail(undefined);
      await clock.advanceMs(minuteMs);
      await expect(quota.reserve(makeRequest(request))).rejects.toMatchObject({ reason: "TOO_MANY_IN_FLIGHT" });
      expect(abandoned).toEqual([]);
      await hold.refund("failed");
    }
  });

  it("is renewed no more once it is settled", async () => {
    const { quota, clock, asked } = testQuota();
    for (const end of ["commit", "refund"] as const) {
      const hold = await quota.reserve(makeRequest(request));
      hold.reached();
      if (end === "commit") await hold.commit(unknown, "completed");
      else await hold.refund("failed");
      hold.reached();
      await clock.advanceMs(minuteMs);
    }
    expect(asked("renew")).toBe(0);
  });

  it.each([
    [true, 1],
    [false, 0],
  ])("is settled and told of when its process dies (upstream reached: %j)", async (reached, used) => {
    const { quota, clock, store, abandoned } = testQuota();
    const intent = '{"id":1}';
    const hold = await quota.reserve(makeRequest({ ...request, requestId: "r", intent }));
    if (reached) hold.reached();
    await clock.advanceMs(30);
    void quota.close();
    await clock.advanceMs(minuteMs);
    expect(abandoned).toEqual([]);
    expect(await store.reap(10)).toEqual([{ requestId: "r", actor: "static:acme", charged: reached, intent }]);
    expect((await quota.limits(request.actor)).get("chat_completions")).toMatchObject([{ used }, { used: 0 }]);
  });

  it("of another process is told of when it is abandoned", async () => {
    const { quota, clock, store, abandoned } = testQuota();
    const rules = [{ kind: "in_flight", key: "k", limit: 300 } as const];
    const deadlineAt = Infinity;
    for (let i = 0; i < 250; i++)
      await store.reserve({ requestId: `${i}`, actor: "a", rules, deadlineAt, intent: "i" });
    await clock.advanceMs(40_000);
    expect(new Set(abandoned.map(({ requestId }) => requestId)).size).toBe(250);
    expect(abandoned).toHaveLength(250);
    void quota.close();
  });

  it("whose lease was lost is not charged again, and counted", async () => {
    const { quota, clock, store, lost, fail } = testQuota();
    const hold = await quota.reserve(makeRequest({ ...request, requestId: "r" }));
    hold.reached();
    await clock.advanceMs(30);
    fail("away");
    await clock.advanceMs(minuteMs);
    fail(undefined);
    await store.reap(10);
    const { states } = hold;
    await hold.commit(unknown, "completed");
    expect(lost).toEqual(["r"]);
    expect(hold.states).toBe(states);
    expect((await quota.limits(request.actor)).get("chat_completions")).toMatchObject([{ used: 1 }, { used: 0 }]);
  });
});

function testRenewals() {
  const calls: (readonly Renewal[])[] = [];
  const renewals = createRenewals({ store: { renew: async (holds) => void calls.push(holds) } });
  const hold = (requestId: string): LiveHold => {
    const made = { requestId, actor: "a", reached: false, place: -1 };
    renewals.add(made);
    return made;
  };
  return { renewals, calls, hold };
}

describe("the sweep", () => {
  it("never overtakes itself", async () => {
    const answers: ((found: []) => void)[] = [];
    const reap = (): Promise<[]> => new Promise((resolve) => void answers.push(resolve));
    const stop = startSweep({ store: { reap }, onAbandoned: () => undefined }, { sweepMs: 1_000 });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(answers).toHaveLength(1);
    answers[0]?.([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(answers).toHaveLength(2);
    stop();
    answers[1]?.([]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(answers).toHaveLength(2);
  });
});

describe("renewals", () => {
  it("renew all holds every 10 s", async () => {
    const { renewals, calls, hold } = testRenewals();
    hold("a");
    await vi.advanceTimersByTimeAsync(5_000);
    hold("b");
    await vi.advanceTimersByTimeAsync(15_000);
    expect(calls.map((holds) => holds.map(({ requestId }) => requestId).toSorted())).toEqual([
      ["a", "b"],
      ["a", "b"],
    ]);
    renewals.close();
    await vi.advanceTimersByTimeAsync(minuteMs);
    expect(calls).toHaveLength(2);
  });

  it("are asked in batches", async () => {
    const { calls, hold } = testRenewals();
    for (let i = 0; i < 1_100; i++) hold(`${i}`);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(calls.map(({ length }) => length)).toEqual([500, 500, 100]);
  });

  it("tell of reached upstreams together, after a moment, once", async () => {
    const { renewals, calls, hold } = testRenewals();
    const [first, second, quick] = [hold("first"), hold("second"), hold("quick")];
    renewals.reached(first);
    renewals.reached(quick);
    await vi.advanceTimersByTimeAsync(20);
    renewals.reached(second);
    renewals.reached(first);
    renewals.remove(quick);
    await vi.advanceTimersByTimeAsync(5);
    expect(calls).toEqual([
      [
        { requestId: "first", actor: "a", reached: true },
        { requestId: "second", actor: "a", reached: true },
      ],
    ]);
    renewals.reached(first);
    renewals.reached(hold("third"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(calls.slice(1)).toEqual([[{ requestId: "third", actor: "a", reached: true }]]);
    expect(renewals.size).toBe(3);
  });

  it("end when they are closed, with what was to be told and with what is under way", async () => {
    const answers: (() => void)[] = [];
    const renew = (): Promise<void> => new Promise((resolve) => void answers.push(resolve));
    const renewals = createRenewals({ store: { renew } });
    const hold = { requestId: "a", actor: "a", reached: false, place: -1 };
    renewals.add(hold);
    await vi.advanceTimersByTimeAsync(10_000);
    renewals.reached(hold);
    renewals.close();
    answers[0]?.();
    await vi.advanceTimersByTimeAsync(minuteMs);
    expect(answers).toHaveLength(1);
  });

  it("go on telling that an upstream was reached", async () => {
    const { renewals, calls, hold } = testRenewals();
    renewals.reached(hold("a"));
    hold("b");
    await vi.advanceTimersByTimeAsync(10_000);
    const told = calls.at(-1)?.map(({ requestId, reached }) => [requestId, reached] as const);
    expect(new Map(told)).toEqual(
      new Map([
        ["a", true],
        ["b", false],
      ]),
    );
  });
});
