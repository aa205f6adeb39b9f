import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { longLeaseMs, type MakeStore, shortMs, slots, testActor, units } from "./quota-store-actor.js";
import { describeQuotaStoreHistories } from "./quota-store-histories.js";
import { describeQuotaStoreMembers } from "./quota-store-members.js";
import { describeQuotaStoreWindows } from "./quota-store-windows.js";

export type { MakeStore, StoreSettings, StoreUnderTest } from "./quota-store-actor.js";

const gone = { kind: "gone" };

/** What a quota store must do. Run it for each store; `together` where time is real, so that the tests wait together. */
export function describeQuotaStore(name: string, makeStore: MakeStore, { together = false, runs = 300 } = {}): void {
  const describeTests = together ? describe.concurrent : describe;
  describeTests(`${name} as a quota store`, () => {
    describeQuotaStoreWindows(makeStore);
    describeQuotaStoreMembers(makeStore);
    describeSettlement(makeStore);
    describeRepeats(makeStore);
    describeLeases(makeStore);
    describeActors(makeStore);
  });
  describeQuotaStoreHistories(name, makeStore, { together, runs });
}

function describeSettlement(makeStore: MakeStore): void {
  it.each([
    ["less than held gives the difference back", 2, 2],
    ["nothing gives all back", 0, 0],
    ["what was held changes nothing", 5, 5],
    ["more leaves a debt", 30, 30],
  ])("commits: %s", async (_, actual, expected) => {
    const { hold, commit, reserve } = await testActor(makeStore);
    const id = await hold([units(10, { amount: 5 })]);
    expect(await commit(id, { units: actual })).toMatchObject({
      kind: "settled",
      states: [{ key: "units", used: expected, held: 0, limit: 10 }],
    });
    expect((await reserve([units(10)])).kind).toBe(expected < 10 ? "admitted" : "refused");
  });

  it("keeps what was held of a rule that is left out of a commit", async () => {
    const { hold, commit, used } = await testActor(makeStore);
    const other = units(10, { key: "other", amount: 4 });
    await commit(await hold([units(10, { amount: 3 }), other]), { units: 1 });
    expect([await used(units(10)), await used(other)]).toEqual([1, 4]);
  });

  it("refunds everything", async () => {
    const { hold, refund, store, actor } = await testActor(makeStore);
    const rules = [units(10, { amount: 3 }), slots(1)];
    await hold([units(10)]);
    expect(await refund(await hold(rules))).toMatchObject({ kind: "settled", states: [{ used: 1 }, { used: 0 }] });
    expect((await store.usage(actor, rules)).map(({ used, held }) => [used, held])).toEqual([
      [1, 1],
      [0, 0],
    ]);
  });

  it("settles a hold once", async () => {
    const { hold, commit, refund, used } = await testActor(makeStore);
    const id = await hold([units(10)]);
    await commit(id, { units: 7 });
    expect(await Promise.all([commit(id, { units: 7 }), refund(id), commit(id)])).toEqual([gone, gone, gone]);
    expect(await used(units(10))).toBe(7);
  });

  it("settles a hold once of many attempts at the same time", async () => {
    const { hold, commit, refund, used } = await testActor(makeStore);
    const id = await hold([units(10)]);
    const answers = await Promise.all([commit(id, { units: 5 }), refund(id), commit(id, { units: 5 }), refund(id)]);
    expect(answers.filter(({ kind }) => kind === "settled")).toHaveLength(1);
    expect(await used(units(10))).toBe(answers[0].kind === "settled" ? 5 : 0);
  });

  it("has nothing to settle of a request it never saw, or of a refused one", async () => {
    const { commit, refund, reserve, used } = await testActor(makeStore);
    const requestId = randomUUID();
    await reserve([units(0)], { requestId });
    expect([await commit(requestId, { units: 3 }), await refund(randomUUID())]).toEqual([gone, gone]);
    expect(await used(units(1))).toBe(0);
  });

  it("charges a hold's own window, and nothing once that is closed", async () => {
    const { hold, commit, wait, used } = await testActor(makeStore);
    const rule = units(10, { windowMs: shortMs, amount: 2 });
    const [early, forgotten] = [await hold([rule]), await hold([rule])];
    await wait(shortMs);
    expect(await commit(early, { units: 9 })).toMatchObject({ kind: "settled", states: [{ used: 0, held: 0 }] });
    await hold([rule]);
    await commit(forgotten, { units: 0 });
    expect(await used(rule)).toBe(2);
  });

  it("starts from 0 after a reset, whatever holds of before are settled at", async () => {
    const { hold, commit, refund, reserve, store, actor, used } = await testActor(makeStore);
    const rules = [units(10, { amount: 4 }), slots(3)];
    const [first, second] = [await hold(rules), await hold(rules)];
    expect(await store.reset(actor, ["units", "slots", "other"])).toEqual({ units: 8 });
    expect(await reserve(rules)).toMatchObject({ kind: "admitted", states: [{ used: 4, held: 4 }, { used: 3 }] });
    await commit(first, { units: 10 });
    await refund(second);
    expect([await used(units(10)), await used(slots(3))]).toEqual([4, 1]);
  });

  it("has nothing to reset in a window that is over", async () => {
    const { hold, wait, store, actor } = await testActor(makeStore);
    await hold([units(10, { windowMs: shortMs })]);
    await wait(shortMs);
    expect(await store.reset(actor, ["units"])).toEqual({});
  });
}

function describeRepeats(makeStore: MakeStore): void {
  it("answers a repeated reservation as the first one, counting once", async () => {
    const { reserve, hold, used } = await testActor(makeStore);
    const id = await hold([units(2), slots(1)]);
    const again = await Promise.all([1, 2, 3].map(() => reserve([units(2), slots(1)], { requestId: id })));
    expect(again.map(({ kind }) => kind)).toEqual(["admitted", "admitted", "admitted"]);
    expect([await used(units(2)), await used(slots(1))]).toEqual([1, 1]);
  });

  it("counts once when the same reservation comes many times at the same moment", async () => {
    const { reserve, used } = await testActor(makeStore);
    const requestId = randomUUID();
    await Promise.all(Array.from({ length: 20 }, () => reserve([units(30)], { requestId })));
    expect(await used(units(30))).toBe(1);
  });

  it.each(["commit", "refund"] as const)("knows a request after its %s", async (end) => {
    const actor = await testActor(makeStore);
    const id = await actor.hold([units(5), slots(1)]);
    await actor[end](id);
    const before = await actor.used(units(5));
    await actor.wait(shortMs);
    expect(await actor.reserve([units(5), slots(1)], { requestId: id })).toMatchObject({ kind: "admitted" });
    expect([await actor.used(units(5)), await actor.used(slots(1))]).toEqual([before, 0]);
    expect(await actor.commit(id, { units: 4 })).toEqual({ kind: "gone" });
  });

  it("forgets a refused request", async () => {
    const { reserve, hold, refund, used } = await testActor(makeStore);
    const holder = await hold([units(1)]);
    const requestId = randomUUID();
    expect(await reserve([units(1)], { requestId })).toMatchObject({ kind: "refused" });
    await refund(holder);
    expect(await reserve([units(1)], { requestId })).toMatchObject({ kind: "admitted" });
    expect(await used(units(1))).toBe(1);
  });

  it("does nothing once the deadline has passed", async () => {
    const { reserve, hold, store, actor, used, exact } = await testActor(makeStore);
    const id = await hold([units(5), slots(5)]);
    const late = { requestId: randomUUID(), actor, deadlineAt: store.now() - 10_000, intent: "", outcome: "" };
    expect(await reserve([units(5), slots(5)], late)).toEqual({ kind: "late" });
    expect(await store.commit({ ...late, requestId: id, used: { units: 3 } })).toEqual({ kind: "late" });
    expect(await store.refund({ ...late, requestId: id })).toEqual({ kind: "late" });
    expect([await used(units(5)), await used(slots(5))]).toEqual([1, 1]);
    expect(await reserve([units(5)], { requestId: late.requestId })).toMatchObject({ states: [{ used: 2 }] });
    if (!exact) return;
    const last = { ...late, requestId: randomUUID(), deadlineAt: store.now() };
    expect(await reserve([units(5)], last)).toMatchObject({ kind: "admitted" });
    expect(await store.refund(last)).toMatchObject({ kind: "settled" });
  });
}

function describeLeases(makeStore: MakeStore): void {
  it.each(["commit", "refund"] as const)("holds a slot until its %s", async (end) => {
    const actor = await testActor(makeStore);
    const id = await actor.hold([slots(2)]);
    await actor.hold([slots(2)]);
    expect(await actor.reserve([slots(2)])).toMatchObject({
      kind: "refused",
      state: { key: "slots", used: 2, held: 2 },
    });
    await actor[end](id);
    expect(await actor.reserve([slots(2)])).toMatchObject({ kind: "admitted", states: [{ used: 2, held: 2 }] });
  });

  it("gives back the slots of abandoned holds without being swept", async () => {
    const { hold, wait } = await testActor(makeStore, { leaseMs: shortMs });
    await hold([slots(2)]);
    await hold([slots(2)]);
    await wait(shortMs);
    await hold([slots(2)]);
    await hold([slots(2)]);
  });

  it("charges abandoned holds that reached their upstream, refunds the others, and tells of each once", async () => {
    const { hold, renew, wait, store, actor, used } = await testActor(makeStore, { leaseMs: shortMs });
    const rules = [units(10, { amount: 3 }), slots(5)];
    const [reached, unreached] = [await hold(rules), await hold(rules)];
    await renew(reached, true);
    await renew(reached, false);
    await wait(shortMs);
    const found = [...(await store.reap(100)), ...(await store.reap(100))].filter((other) => other.actor === actor);
    expect(found.toSorted((a, b) => Number(b.charged) - Number(a.charged))).toEqual([
      { requestId: reached, actor, charged: true, intent: "" },
      { requestId: unreached, actor, charged: false, intent: "" },
    ]);
    expect([await used(units(10)), await used(slots(5))]).toEqual([3, 0]);
  });

  it("tells of holds that a reservation settled, at most as many as asked for", async () => {
    const { hold, reserve, wait, store, actor } = await testActor(makeStore, { leaseMs: shortMs });
    const ids = [await hold([slots(3)]), await hold([slots(3)]), await hold([slots(3)])];
    await wait(shortMs);
    await reserve([slots(3)], { intent: "the next" });
    const found: string[] = [];
    for (let batch = await store.reap(1); batch.length > 0; batch = await store.reap(1)) {
      expect(batch).toHaveLength(1);
      // Where time is real, the next one's lease may have ended by now, too.
      const own = batch.filter((other) => other.actor === actor && other.intent !== "the next");
      found.push(...own.map(({ requestId }) => requestId));
    }
    expect(found.toSorted()).toEqual(ids.toSorted());
  });

  it("keeps the intent of an abandoned hold", async () => {
    const { reserve, wait, store, actor } = await testActor(makeStore, { leaseMs: shortMs });
    const intent = '{"model":"a\\nb","text":"ü\u0000"}';
    await reserve([units(1)], { intent });
    await wait(shortMs);
    expect((await store.reap(100)).find((other) => other.actor === actor)?.intent).toBe(intent);
  });

  it("keeps a renewed hold, and revives none", async () => {
    const { hold, renew, refund, wait } = await testActor(makeStore, { leaseMs: shortMs });
    const [renewed, lost] = [await hold([slots(2)]), await hold([slots(2)])];
    for (let i = 0; i < 6; i++) {
      await wait(shortMs / 5);
      await renew(renewed, false);
    }
    await renew(lost, true);
    expect([(await refund(lost)).kind, (await refund(renewed)).kind]).toEqual(["gone", "settled"]);
  });

  it.each([true, false])("charges nothing more for a hold whose lease ended (reached: %j)", async (reached) => {
    const { hold, renew, commit, wait, used } = await testActor(makeStore, { leaseMs: shortMs });
    const id = await hold([units(10, { amount: 2 })]);
    await renew(id, reached);
    await wait(shortMs);
    expect(await commit(id, { units: 9 })).toEqual({ kind: "gone" });
    expect(await used(units(10))).toBe(reached ? 2 : 0);
  });
}

function describeActors(makeStore: MakeStore): void {
  it("keeps actors apart, whatever their ids are made of", async () => {
    const suffix = randomUUID();
    const ids = [
      "a",
      "a}b",
      "a{b}",
      "a:b",
      "a b",
      "a\nb",
      "a\u0000b",
      "*",
      "__proto__",
      "constructor",
      "ü",
      "🦊",
      "x".repeat(10_240),
    ];
    const { store } = await makeStore({ leaseMs: longLeaseMs });
    // The same request id for all: an id is the actor's own.
    const call = (actor: string) => ({ requestId: suffix, actor, deadlineAt: store.now() + 5_000, intent: "" });
    const actors = ids.map((id) => `${suffix}${id}`);
    for (const actor of actors) {
      expect(await store.reserve({ ...call(actor), rules: [units(1), slots(1)] })).toMatchObject({ kind: "admitted" });
      expect(await store.usage(actor, [units(1), slots(1)])).toMatchObject([{ used: 1 }, { used: 1 }]);
    }
    for (const [index, actor] of actors.entries()) {
      await store.commit({ ...call(actor), used: { units: index }, outcome: "" });
      expect(await store.usage(actor, [units(1), slots(1)])).toMatchObject([{ used: index }, { used: 0 }]);
    }
    for (const actor of actors) {
      expect(await store.reserve({ ...call(actor), rules: [slots(1)] })).toMatchObject({ kind: "admitted" });
      expect(await store.usage(actor, [slots(1)])).toMatchObject([{ used: 0 }]);
    }
  });

  it("shows where rules stand in their order, and consumes nothing", async () => {
    const { store, actor, hold } = await testActor(makeStore);
    const rules = [slots(3), units(5, { key: "b" }), units(5, { key: "a" })];
    await hold([units(5, { key: "a" }), slots(3)]);
    for (let i = 0; i < 2; i++) {
      const states = await store.usage(actor, rules);
      expect(states.map(({ key, used, held }) => [key, used, held])).toEqual([
        ["slots", 1, 1],
        ["b", 0, 0],
        ["a", 1, 1],
      ]);
    }
  });
}
