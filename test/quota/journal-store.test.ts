import { afterAll, describe, expect, it } from "vitest";
import { memberKey, type Rule } from "../../src/quota/store.js";
import { describeQuotaStore, type MakeStore } from "../contract/quota-store.js";
import { slots, testActor, units } from "../contract/quota-store-actor.js";
import { describeQuotaStoreHistories } from "../contract/quota-store-histories.js";
import { type JournalStore, journalStore } from "../helpers/journal-store.js";

/** One store for each settings: a database is one store's. */
function storesThat(advance: (journal: JournalStore, ms: number) => Promise<void>): MakeStore {
  const journals = new Map<string, Promise<JournalStore>>();
  afterAll(async () => {
    for (const journal of journals.values()) await (await journal)[Symbol.asyncDispose]();
  });
  return async (settings) => {
    const key = JSON.stringify(settings);
    const started = journals.get(key) ?? journalStore(settings);
    journals.set(key, started);
    const journal = await started;
    return { store: journal.store, advance: (ms) => advance(journal, ms) };
  };
}

describeQuotaStore(
  "journal",
  storesThat((journal, ms) => journal.advance(ms)),
  // Each step is written to a file. As many as for the store in memory add nothing: the counting is the same.
  { runs: 100 },
);
describeQuotaStoreHistories(
  "journal, started again whenever time passes",
  storesThat(async (journal, ms) => {
    await journal.restartStore();
    await journal.advance(ms);
  }),
  // Each has several restarts, which cost more than all the rest of it.
  { runs: 40 },
);

const hour = 3_600_000;

async function actorOn(journal: JournalStore) {
  return testActor(async () => ({ store: journal.store, advance: journal.advance }));
}

describe("a quota store after a restart", () => {
  it("has the counts of open windows, and the times at which they end", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    const rules = [units(10, { amount: 3 }), units(100, { key: "day", windowMs: 24 * hour, amount: 20 })];
    await actor.commit(await actor.hold(rules), { units: 2 });
    await journal.advance(hour / 2);
    const before = await journal.store.usage(actor.actor, rules);
    await journal.restart();
    expect(await journal.store.usage(actor.actor, rules)).toEqual(before);
    expect(before.map(({ used }) => used)).toEqual([2, 20]);
    await journal.advance(hour / 2);
    expect(await journal.store.usage(actor.actor, rules)).toMatchObject([
      { used: 0, resetAt: undefined },
      { used: 20, resetAt: before[1]?.resetAt },
    ]);
  });

  it("has what each member used, in its own window or in that of all there is no room for", async () => {
    await using journal = await journalStore({ maxCounters: 4 });
    const actor = await actorOn(journal);
    const of = (member: string) => units(10, { key: memberKey("users", member), amount: 3 });
    const members = ["a", "b", "c"].map(of);
    for (const rule of members) await actor.commit(await actor.hold([units(100), rule]), { [rule.key]: 2 });
    const [first, second] = [await actor.hold([of("late")]), await actor.hold([of("later")])];
    await journal.restart();
    const used = async () => Promise.all([...members, of("late"), of("whoever")].map(actor.used));
    expect(await used()).toEqual([2, 2, 2, 6, 6]);

    await actor.commit(first, { "users@late": 1 });
    await actor.refund(second);
    await journal.store.reset(actor.actor, ["users@b"]);
    await actor.hold([of("b")]);
    await journal.restart();
    expect(await used()).toEqual([2, 3, 2, 1, 1]);
    expect(await journal.count("quota_members")).toBeLessThan(6);

    await journal.advance(hour);
    await actor.hold([units(100), of("a")]);
    expect(await journal.count("quota_members")).toBe(1);
    await journal.restart();
    expect(await used()).toEqual([3, 0, 0, 0, 0]);
  });

  it("settles what is under way, and answers it as before", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    const rules = [units(10, { amount: 4 }), slots(2)];
    const first = await actor.reserve(rules, { requestId: "first" });
    await actor.hold(rules, "second");
    await journal.restart();
    expect(await actor.reserve(rules, { requestId: "first" })).toEqual(first);
    expect(await actor.reserve([slots(2)])).toMatchObject({ kind: "refused" });
    expect(await actor.commit("first", { units: 1 })).toMatchObject({
      kind: "settled",
      states: [
        { key: "units", used: 5, held: 4, limit: 10 },
        { key: "slots", used: 1 },
      ],
    });
    expect(await actor.refund("second")).toMatchObject({ kind: "settled", states: [{ used: 1 }, { used: 0 }] });
  });

  it("ends what nobody settles when its lease ends: charged where the upstream was reached", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    const rules = [units(10, { amount: 3 }), slots(2)];
    const [reached, unreached] = [await actor.hold(rules), await actor.hold(rules)];
    await journal.advance(20_000);
    await actor.renew(reached, true);
    await journal.restart();
    await journal.advance(10_000);
    expect(await journal.store.reap(10)).toEqual([
      { requestId: unreached, actor: actor.actor, charged: false, intent: "" },
    ]);
    expect([await actor.used(units(10)), await actor.used(slots(2))]).toEqual([3, 1]);
    await journal.advance(20_000);
    expect(await journal.store.reap(10)).toEqual([
      { requestId: reached, actor: actor.actor, charged: true, intent: "" },
    ]);
    expect([await actor.used(units(10)), await actor.used(slots(2))]).toEqual([3, 0]);
  });

  it("charges a hold's own window, also when that was closed before", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    const rule = units(10, { amount: 4 });
    const [closed, ended] = [await actor.hold([rule]), await actor.hold([units(10, { key: "short", windowMs: 500 })])];
    await journal.store.reset(actor.actor, ["units"]);
    const open = await actor.hold([rule]);
    await journal.advance(1_000);
    await journal.restart();
    await actor.commit(closed, { units: 9 });
    await actor.commit(ended, { short: 9 });
    expect(await actor.used(rule)).toBe(4);
    await actor.commit(open, { units: 6 });
    expect([await actor.used(rule), await actor.used(units(10, { key: "short" }))]).toEqual([6, 0]);
  });

  it("knows requests that were settled, for ten minutes", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    const id = await actor.hold([units(10)]);
    await actor.commit(id);
    await journal.advance(600_000 - 1);
    await journal.restart();
    await actor.hold([units(10)], id);
    expect(await actor.used(units(10))).toBe(1);
    await journal.advance(600_001);
    await journal.restart();
    await actor.hold([units(10)], id);
    expect(await actor.used(units(10))).toBe(2);
  });

  it("tells of abandoned holds that nobody was told of, and not of others", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    for (const id of ["a", "b", "c"]) await actor.hold([slots(5)], id);
    await journal.advance(30_000);
    expect(await journal.store.reap(1)).toMatchObject([{ requestId: "a" }]);
    await journal.restart();
    expect(await journal.store.reap(10)).toMatchObject([{ requestId: "b" }, { requestId: "c" }]);
    await journal.restart();
    expect(await journal.store.reap(10)).toEqual([]);
    expect(await journal.count("quota_abandoned")).toBe(0);
  });

  it("knows what began and ended between two writes as ended", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    await Promise.all([actor.hold([units(10), slots(5)], "a"), actor.commit("a", { units: 3 })]);
    expect(await journal.count("quota_holds")).toBe(0);
    await journal.restart();
    expect([await actor.used(units(10)), await actor.used(slots(5))]).toEqual([3, 0]);
  });

  it("tells of a request that was let in without it once, before and after", async () => {
    await using journal = await journalStore();
    const call = { requestId: "blind", actor: "test:a", deadlineAt: Infinity, used: {}, outcome: "end" };
    expect(await journal.store.commit(call)).toEqual({ kind: "gone" });
    await journal.restart();
    expect(await journal.store.commit(call)).toEqual({ kind: "gone" });
    expect(await journal.count("outbox")).toBe(1);
  });

  it("forgets what a reset has closed", async () => {
    await using journal = await journalStore();
    const actor = await actorOn(journal);
    await actor.commit(await actor.hold([units(10, { amount: 9 })]));
    await journal.store.reset(actor.actor, ["units"]);
    await journal.restart();
    expect(await actor.used(units(10))).toBe(0);
  });
});

describe("the database of a quota store", () => {
  it("does not grow with what is over", async () => {
    await using journal = await journalStore({ maxRemembered: 100, outbox: false });
    const rules: readonly Rule[] = [units(5, { windowMs: 50 }), slots(5)];
    for (let i = 0; i < 2_000; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, n) => {
          const call = { requestId: `${i + n}`, actor: `actor ${i + n}`, deadlineAt: Infinity };
          await journal.store.reserve({ ...call, rules, intent: "" });
          await journal.store.commit({ ...call, used: {}, outcome: "" });
        }),
      );
      await journal.advance(20);
    }
    const tables = ["quota_actors", "quota_holds", "quota_settled", "quota_abandoned", "outbox"];
    const counts = await Promise.all(tables.map(journal.count));
    expect(counts[0]).toBeLessThan(500);
    expect(counts[2]).toBeLessThan(10);
    expect([counts[1], counts[3], counts[4]]).toEqual([0, 0, 0]);
    await journal.advance(600_000);
    await journal.store.reap(10_000);
    await journal.store.reap(10_000);
    expect(await journal.count("quota_actors")).toBe(0);
  });
});

describe("the outbox of a quota store", () => {
  it("has one entry for the end of each request, unless there is nothing to tell", async () => {
    await using journal = await journalStore();
    const { store } = journal;
    const call = (requestId: string) => ({ requestId, actor: "test:a", deadlineAt: Infinity });
    for (const id of ["1", "2", "3", "4", "5"])
      await store.reserve({ ...call(id), rules: [units(5)], intent: `begin "${id}"` });
    await store.reserve({ ...call("6"), rules: [units(5)], intent: "refused" });
    await store.commit({ ...call("1"), used: {}, outcome: "end of 1" });
    await store.refund({ ...call("2"), outcome: "end of 2" });
    await store.refund({ ...call("5"), outcome: "" });
    await store.commit({ ...call("blind"), used: {}, outcome: "let in without the store" });
    await store.commit({ ...call("blind"), used: {}, outcome: "let in without the store" });
    await store.renew([{ ...call("3"), reached: true }]);
    await journal.advance(30_000);
    await store.reap(10);
    const rows = await journal.database.read<{ id: number; kind: string; entry: string }>("select * from outbox");
    const told = rows.map(({ id, kind, entry }) => [id, kind, JSON.parse(entry)]);
    expect(told).toEqual([
      [1, "finished", { id: "1", actor: "test:a", outcome: "end of 1" }],
      [2, "refunded", { id: "2", actor: "test:a", outcome: "end of 2" }],
      [3, "finished", { id: "blind", actor: "test:a", outcome: "let in without the store" }],
      [4, "abandoned", { id: "4", actor: "test:a", intent: 'begin "4"', charged: false }],
      [5, "abandoned", { id: "3", actor: "test:a", intent: 'begin "3"', charged: true }],
    ]);
  });
});
