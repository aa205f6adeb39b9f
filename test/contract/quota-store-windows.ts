import { expect, it } from "vitest";
import { hourMs, type MakeStore, shortMs, slots, testActor, units } from "./quota-store-actor.js";

/** Counting in windows. */
export function describeQuotaStoreWindows(makeStore: MakeStore): void {
  it.each([1, 2, 7])("admits exactly %i of a limit of as many", async (limit) => {
    const { reserve } = await testActor(makeStore);
    const kinds: string[] = [];
    for (let i = 0; i < limit + 2; i++) kinds.push((await reserve([units(limit)])).kind);
    expect(kinds).toEqual([...Array<string>(limit).fill("admitted"), "refused", "refused"]);
  });

  it("admits exactly the limit of many at once", async () => {
    const { reserve } = await testActor(makeStore);
    const answers = await Promise.all(Array.from({ length: 200 }, () => reserve([units(50)])));
    expect(answers.filter(({ kind }) => kind === "admitted")).toHaveLength(50);
  });

  it.each([[units(0)], [units(0, { amount: 0 })], [slots(0)]])(
    "refuses everything at a limit of 0: %j",
    async (rule) => {
      const { reserve, store } = await testActor(makeStore);
      const answer = await reserve([rule]);
      expect(answer).toMatchObject({ kind: "refused", state: { used: 0, limit: 0, resetAt: undefined } });
      expect(answer.kind === "refused" && answer.retryAt).toBeGreaterThan(store.now());
    },
  );

  it("counts the largest limit to the last unit", async () => {
    const limit = Number.MAX_SAFE_INTEGER;
    const { reserve, used } = await testActor(makeStore);
    expect(await reserve([units(limit, { amount: limit - 1 })])).toMatchObject({ kind: "admitted" });
    expect(await reserve([units(limit, { amount: 2 })])).toMatchObject({ kind: "refused" });
    expect(await reserve([units(limit, { amount: 1 })])).toMatchObject({ kind: "admitted" });
    expect(await used(units(limit))).toBe(limit);
  });

  it("refuses a request of 0 units when nothing is left", async () => {
    const { reserve, hold } = await testActor(makeStore);
    expect(await reserve([units(1, { amount: 0 })])).toMatchObject({ kind: "admitted" });
    await hold([units(1)]);
    expect(await reserve([units(1, { amount: 0 })])).toMatchObject({ kind: "refused" });
  });

  it("lets more than the limit pass on an empty window, and holds the limit", async () => {
    const { reserve, hold, refund } = await testActor(makeStore);
    const large = units(10, { amount: 25 });
    const small = await hold([units(10)]);
    expect(await reserve([large])).toMatchObject({ kind: "refused", state: { used: 1 } });
    await refund(small);
    expect(await reserve([large])).toMatchObject({ kind: "admitted", states: [{ used: 10, held: 10 }] });
  });

  it("consumes nothing of any rule when one refuses", async () => {
    const { reserve, store, actor } = await testActor(makeStore);
    const rules = [units(5), units(1, { key: "narrow", amount: 1 }), slots(5)];
    await reserve(rules);
    expect(await reserve(rules)).toMatchObject({ kind: "refused", state: { key: "narrow" } });
    expect((await store.usage(actor, rules)).map(({ used }) => used)).toEqual([1, 1, 1]);
  });

  it("refuses with the rule that takes longest to pass", async () => {
    const { reserve, hold } = await testActor(makeStore);
    const rules = [slots(1), units(1, { key: "hour" }), units(1, { key: "day", windowMs: 24 * hourMs })];
    await hold(rules);
    const answer = await reserve(rules);
    expect(answer).toMatchObject({ kind: "refused", state: { key: "day", used: 1, limit: 1 } });
    expect(answer.kind === "refused" && answer.retryAt).toBe(answer.kind === "refused" && answer.state.resetAt);
  });

  it("lets the same request pass at `retryAt`, and not before", async () => {
    const { reserve, hold, until, exact } = await testActor(makeStore);
    const rules = [units(1, { windowMs: shortMs }), units(1, { key: "shorter", windowMs: shortMs / 2 })];
    await hold(rules);
    const refused = await reserve(rules);
    if (refused.kind !== "refused") throw new Error(refused.kind);
    if (exact) {
      await until(refused.retryAt - 1);
      expect(await reserve(rules)).toMatchObject({ kind: "refused", retryAt: refused.retryAt });
    }
    await until(refused.retryAt);
    expect(await reserve(rules)).toMatchObject({ kind: "admitted" });
  });

  it("opens a window with the first request counted in it", async () => {
    const { reserve, store, actor, used } = await testActor(makeStore);
    const rule = units(1);
    await reserve([rule, units(0, { key: "none" })]);
    expect(await store.usage(actor, [rule])).toMatchObject([{ used: 0, resetAt: undefined }]);
    const before = store.now();
    const answer = await reserve([rule]);
    const resetAt = answer.kind === "admitted" ? (answer.states[0]?.resetAt ?? 0) : 0;
    expect(resetAt - before).toBeGreaterThanOrEqual(hourMs - 5_000);
    expect(resetAt - store.now()).toBeLessThanOrEqual(hourMs + 5_000);
    expect(await used(rule)).toBe(1);
  });

  it("never moves the end of an open window", async () => {
    const { hold, commit, wait, store, actor } = await testActor(makeStore);
    const rule = units(100);
    const ends = new Set<number | undefined>();
    for (let i = 0; i < 10; i++) {
      const id = await hold([rule]);
      await wait(3);
      if (i % 2 === 0) await commit(id, { units: 3 });
      ends.add((await store.usage(actor, [rule]))[0]?.resetAt);
    }
    expect(ends.size).toBe(1);
  });

  it("applies a lowered limit at once and keeps the usage under a raised one", async () => {
    const { reserve, hold, store, actor } = await testActor(makeStore);
    await hold([units(5, { amount: 4 })]);
    expect(await reserve([units(2)])).toMatchObject({ kind: "refused", state: { used: 4, limit: 2 } });
    expect(await reserve([units(6, { amount: 2 })])).toMatchObject({ kind: "admitted", states: [{ used: 6 }] });
    expect(await store.usage(actor, [units(3)])).toMatchObject([{ used: 6, limit: 3 }]);
  });

  it("cuts an open window to a shortened interval, and prolongs none", async () => {
    const { hold, reserve, commit, store, actor, wait } = await testActor(makeStore);
    const early = await hold([units(1)]);
    const [{ resetAt = 0 } = {}] = await store.usage(actor, [units(1)]);
    const openedAt = resetAt - hourMs;
    const longer = await store.usage(actor, [units(1, { windowMs: 2 * hourMs })]);
    expect(longer).toMatchObject([{ used: 1, resetAt }]);
    const shorter = units(1, { windowMs: shortMs });
    expect(await reserve([shorter])).toMatchObject({ kind: "refused", retryAt: openedAt + shortMs });
    await wait(shortMs);
    expect(await reserve([shorter])).toMatchObject({ kind: "admitted", states: [{ used: 1 }] });
    expect(await commit(early, { units: 9 })).toMatchObject({ kind: "settled", states: [{ used: 1 }] });
  });
}
