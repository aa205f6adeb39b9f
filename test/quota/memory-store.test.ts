import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createMemoryQuotaStore, type MemoryQuotaStoreOptions } from "../../src/quota/memory-store.js";
import { memberKey } from "../../src/quota/store.js";
import { describeQuotaStore } from "../contract/quota-store.js";
import { slots, testActor, units } from "../contract/quota-store-actor.js";
import { fakeClock } from "../helpers/fake-clock.js";

describeQuotaStore("memory", async (settings) => makeStore(settings));

function makeStore(options: MemoryQuotaStoreOptions) {
  const clock = fakeClock();
  return { store: createMemoryQuotaStore({ clock }, options), advance: (ms: number) => clock.advanceMs(ms) };
}

describe("the memory store's memory", () => {
  it("holds no actor whose windows are over", async () => {
    const { store, advance } = makeStore({ maxRemembered: 100 });
    const rules = [units(5, { windowMs: 50 }), slots(5)];
    const visit = async (from: number, to: number): Promise<number> => {
      for (let i = from; i < to; i++) {
        const call = { requestId: `${i}`, actor: `actor ${i}`, deadlineAt: Infinity };
        await store.reserve({ ...call, rules, intent: "" });
        await store.commit({ ...call, used: {}, outcome: "" });
        await advance(1);
      }
      return heapBytes();
    };
    const before = await visit(0, 10_000);
    const after = await visit(10_000, 35_000);
    expect(after - before).toBeLessThan(2_500_000);
  });

  it("of an actor with ever more members holds those whose windows are open", async () => {
    const { store, advance } = makeStore({ maxRemembered: 100 });
    const visit = async (from: number, to: number): Promise<number> => {
      for (let i = from; i < to; i++) {
        const call = { requestId: `${i}`, actor: "one", deadlineAt: Infinity };
        const rules = [units(5, { key: memberKey("users", `${i}`), windowMs: 50 })];
        await store.reserve({ ...call, rules, intent: "" });
        await store.commit({ ...call, used: {}, outcome: "" });
        await advance(1);
      }
      return heapBytes();
    };
    const before = await visit(0, 10_000);
    expect((await visit(10_000, 35_000)) - before).toBeLessThan(2_500_000);
  });

  it("is given back by sweeping, when nobody comes any more", async () => {
    const { store, advance } = makeStore({ maxRemembered: 2 });
    const before = heapBytes();
    for (let i = 0; i < 20_000; i++) {
      const call = { requestId: `${i}`, actor: `actor ${i}`, deadlineAt: Infinity };
      await store.reserve({ ...call, rules: [units(5, { windowMs: 50 })], intent: "" });
      await store.refund({ ...call, outcome: "" });
    }
    await advance(50);
    const full = heapBytes() - before;
    await store.reap(50_000);
    expect(heapBytes() - before).toBeLessThan(full / 2);
  });

  it("holds the id of a request that took long for as long as any", async () => {
    const { store, advance } = makeStore({});
    const actor = await testActor(async () => ({ store, advance }));
    const id = await actor.hold([slots(1)]);
    for (let i = 0; i < 100; i++) {
      await advance(15_000);
      await actor.renew(id, true);
    }
    await actor.commit(id);
    await advance(1);
    await actor.hold([slots(1)], id);
    expect(await actor.used(slots(1))).toBe(0);
  });

  it("holds settled ids for ten minutes, and not for twice as long", async () => {
    const { store, advance } = makeStore({});
    const actor = await testActor(async () => ({ store, advance }));
    const id = await actor.hold([slots(1)]);
    await actor.commit(id);
    await advance(600_000 - 1);
    await actor.hold([slots(1)], id);
    expect(await actor.used(slots(1))).toBe(0);
    await advance(600_000 + 1);
    await actor.hold([slots(1)], id);
    expect(await actor.used(slots(1))).toBe(1);
  });

  it("holds the settled ids that are newest, when there are many", async () => {
    const { store, advance } = makeStore({ maxRemembered: 100 });
    const actor = await testActor(async () => ({ store, advance }));
    for (let i = 0; i < 250; i++) await actor.refund(await actor.hold([units(1)], `${i}`));
    for (let i = 249; i >= 200; i--) await actor.hold([units(1)], `${i}`);
    expect(await actor.used(units(1))).toBe(0);
    await actor.hold([units(1)], "0");
    expect(await actor.used(units(1))).toBe(1);
  });
});

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}
