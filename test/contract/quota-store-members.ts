import { expect, it } from "vitest";
import { memberKey, type WindowRule } from "../../src/quota/store.js";
import { longLeaseMs, type MakeStore, shortMs, slots, testActor, units } from "./quota-store-actor.js";

/** Counters alike of an actor's members. */
export function describeQuotaStoreMembers(makeStore: MakeStore): void {
  const few: MakeStore = (settings) => makeStore({ ...settings, maxCounters: 3 });
  const of = (member: string, limit: number, overrides: Partial<WindowRule> = {}): WindowRule =>
    units(limit, { key: memberKey("users", member), ...overrides });

  it("counts each member by itself, and all of them in what is the actor's", async () => {
    const { reserve, hold, used } = await testActor(makeStore);
    const shared = units(10);
    await hold([shared, of("a", 2)]);
    await hold([shared, of("a", 2)]);
    expect(await reserve([shared, of("a", 2)])).toMatchObject({
      kind: "refused",
      state: { key: "users@a", used: 2, limit: 2 },
    });
    await hold([shared, of("b", 2)]);
    expect([await used(of("a", 2)), await used(of("b", 2)), await used(shared)]).toEqual([2, 1, 3]);
  });

  it("admits exactly the limit of each of many that come at once", async () => {
    const { reserve } = await testActor(makeStore);
    const members = ["a", "b", "c", "d"];
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, at) => reserve([units(100), of(members[at % 4] ?? "", 3)])),
    );
    expect(answers.filter(({ kind }) => kind === "admitted")).toHaveLength(12);
  });

  it("counts requests in flight of each member", async () => {
    const { reserve, hold, refund } = await testActor(makeStore);
    const slot = (member: string) => ({ ...slots(1), key: memberKey("slots", member) });
    const id = await hold([slots(5), slot("a")]);
    expect((await reserve([slots(5), slot("a")])).kind).toBe("refused");
    await hold([slots(5), slot("b")]);
    await refund(id);
    await hold([slots(5), slot("a")]);
  });

  it("lets members share one counter when there is no room for more of them", async () => {
    const { reserve, hold, commit, refund, used } = await testActor(few, { leaseMs: longLeaseMs + 1 });
    await hold([of("a", 9)]);
    await hold([of("b", 9)]);
    await hold([of("c", 9)]);
    const [late, later] = [await hold([of("d", 9, { amount: 5 })]), await hold([of("e", 9, { amount: 4 })])];

    expect(await reserve([of("f", 9)])).toMatchObject({ kind: "refused", state: { key: "users@f", used: 9 } });
    expect([await used(of("f", 9)), await used(of("a", 9))]).toEqual([9, 1]);
    await commit(late, { "users@d": 2 });
    await refund(later);
    expect(await used(of("f", 9))).toBe(2);
    await hold([of("a", 9)]);
    expect(await used(of("a", 9))).toBe(2);
  });

  it("has room for members again when windows are over", async () => {
    const { hold, wait, used } = await testActor(few, { leaseMs: longLeaseMs + 1 });
    for (const member of ["a", "b", "c", "d"]) await hold([of(member, 9, { windowMs: shortMs })]);
    await wait(shortMs);
    await hold([of("e", 9)]);
    await hold([of("e", 9)]);
    expect([await used(of("e", 9)), await used(of("f", 9))]).toEqual([2, 0]);
  });
}
