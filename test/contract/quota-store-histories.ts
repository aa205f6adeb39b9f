// Random histories of a quota store, held against a model of its promises.

import { randomUUID } from "node:crypto";
import { array, asyncProperty, assert as check, constantFrom, integer, oneof, option, record } from "fast-check";
import { describe, expect, it } from "vitest";
import type { AbandonedHold, QuotaStore, Rule } from "../../src/quota/store.js";
import { createQuotaModel, type QuotaModel } from "../quota/model.js";
import { type MakeStore, slots, testActor, units } from "./quota-store-actor.js";

const leaseMs = 200;
const neverMs = 3_600_000;

/** Limits as they are changed under way: the same counters with other amounts, lengths and holds. */
const ruleSets: readonly (readonly Rule[])[] = [
  [units(6)],
  [units(3, { amount: 2 }), slots(2)],
  [units(10, { key: "tokens", amount: 4, windowMs: 250 }), units(6, { windowMs: 400 })],
  [slots(3)],
  [units(6, { windowMs: 150 })],
  [units(8, { amount: 20, windowMs: 400 })],
  [units(4, { windowMs: 150 }), units(30, { key: "tokens", amount: 3, windowMs: 250 }), slots(1)],
  [units(0, { key: "tokens" }), units(9)],
];
const everyRule: readonly Rule[] = [units(6), units(10, { key: "tokens" }), slots(3)];

const some = { actor: integer({ min: 0, max: 1 }), id: integer({ min: 0, max: 11 }) };
const reserveStep = record({
  ...some,
  rules: constantFrom(...ruleSets),
  late: constantFrom(false, false, false, true),
});
const commitStep = record({ ...some, used: option(integer({ min: 0, max: 9 }), { nil: undefined }) });
const step = oneof(
  { weight: 6, arbitrary: reserveStep.map((value) => ({ kind: "reserve" as const, ...value })) },
  { weight: 3, arbitrary: commitStep.map((value) => ({ kind: "commit" as const, ...value })) },
  { weight: 2, arbitrary: record(some).map((value) => ({ kind: "refund" as const, ...value })) },
  {
    weight: 2,
    arbitrary: record({ ...some, reached: constantFrom(true, false) }).map((value) => ({
      kind: "renew" as const,
      ...value,
    })),
  },
  { weight: 3, arbitrary: integer({ min: 0, max: 160 }).map((ms) => ({ kind: "advance" as const, actor: 0, ms })) },
  { weight: 1, arbitrary: record({ actor: some.actor }).map((value) => ({ kind: "reset" as const, ...value })) },
  { weight: 1, arbitrary: record({ actor: some.actor }).map((value) => ({ kind: "reap" as const, ...value })) },
);
type Step = typeof step extends { generate: (...args: never[]) => { value: infer T } } ? T : never;

/** `runs`: histories, where time is the test's own; fewer where it is the clock's. */
export function describeQuotaStoreHistories(
  name: string,
  makeStore: MakeStore,
  { together = false, runs = 300 } = {},
): void {
  const describeTests = together ? describe.concurrent : describe;
  describeTests(`${name} through random histories`, () => {
    it("is what follows from everything that happened", async () => {
      await check(
        asyncProperty(array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
          const history = await startHistory(makeStore);
          for (const next of steps) await history.take(next);
          await history.end();
        }),
        { numRuns: (await hasRealTime(makeStore)) ? 25 : runs },
      );
    });

    it("never admits more than the limit, and counts what was settled and what is held", async () => {
      const request = record({
        amount: integer({ min: 1, max: 4 }),
        share: integer({ min: 0, max: 4 }),
        end: constantFrom("commit" as const, "commit" as const, "refund" as const, "none" as const),
        pauses: integer({ min: 0, max: 3 }),
      });
      await check(
        asyncProperty(
          array(request, { minLength: 10, maxLength: 40 }),
          integer({ min: 1, max: 30 }),
          async (all, limit) => {
            const actor = await testActor(makeStore);
            const counted = await Promise.all(
              all.map(async ({ amount, share, end, pauses }) => {
                const requestId = randomUUID();
                const answer = await actor.reserve([units(limit, { amount })], { requestId });
                for (let i = 0; i < pauses; i++) expect(await actor.used(units(limit))).toBeLessThanOrEqual(limit);
                if (answer.kind !== "admitted") return 0;
                const held = Math.min(amount, limit);
                if (end === "refund") await actor.refund(requestId);
                if (end === "commit") await actor.commit(requestId, { units: Math.min(share, held) });
                return { refund: 0, commit: Math.min(share, held), none: held }[end];
              }),
            );
            const sum = counted.reduce((a, b) => a + b, 0);
            expect(sum).toBeLessThanOrEqual(limit);
            expect(await actor.used(units(limit))).toBe(sum);
          },
        ),
        { numRuns: (await hasRealTime(makeStore)) ? 15 : 100 },
      );
    });

    it("goes over the limit by no more than the largest underestimate, one request after another", async () => {
      const request = record({ amount: integer({ min: 1, max: 9 }), actual: integer({ min: 0, max: 20 }) });
      await check(
        asyncProperty(
          array(request, { minLength: 1, maxLength: 30 }),
          integer({ min: 1, max: 40 }),
          async (all, limit) => {
            const actor = await testActor(makeStore);
            let most = limit;
            for (const { amount, actual } of all) {
              const requestId = randomUUID();
              const answer = await actor.reserve([units(limit, { amount })], { requestId });
              if (answer.kind !== "admitted") continue;
              await actor.commit(requestId, { units: actual });
              most = Math.max(most, limit + actual - Math.min(amount, limit));
              expect(await actor.used(units(limit))).toBeLessThanOrEqual(most);
            }
          },
        ),
        { numRuns: (await hasRealTime(makeStore)) ? 10 : 100 },
      );
    });
  });
}

async function hasRealTime(makeStore: MakeStore): Promise<boolean> {
  return (await makeStore({ leaseMs })).advance === undefined;
}

/** One history: each step is taken by the store and by the model, and both must say the same. */
async function startHistory(makeStore: MakeStore) {
  const { store, advance } = await makeStore({ leaseMs: (await hasRealTime(makeStore)) ? neverMs : leaseMs });
  const model = createQuotaModel({ leaseMs: advance ? leaseMs : neverMs, startAt: store.now() });
  const prefix = randomUUID();
  const actors = [`${prefix}:a`, `${prefix}:b`];
  const context = { store, model, advance, actors };

  return {
    async take(next: Step): Promise<void> {
      await takeStep(context, next);
      const actor = actors[next.actor] as string;
      const rules = inTime(everyRule, advance !== undefined);
      const expected = model.standing(actor, rules).map((state) => shown(state, advance !== undefined));
      expect((await store.usage(actor, rules)).map((state) => shown(state, advance !== undefined))).toEqual(expected);
    },
    async end(): Promise<void> {
      if (advance === undefined) return;
      await advance(leaseMs);
      model.advance(leaseMs);
      expect(asMap(await store.reap(1_000), actors)).toEqual(model.reap());
    },
  };
}

interface History {
  readonly store: QuotaStore;
  readonly model: QuotaModel;
  readonly advance: ((ms: number) => Promise<void>) | undefined;
  readonly actors: readonly string[];
}

async function takeStep({ store, model, advance, actors }: History, next: Step): Promise<void> {
  const actor = actors[next.actor] as string;
  const deadlineAt = store.now() + 5_000;
  if (next.kind === "advance") {
    if (advance === undefined) return;
    await advance(next.ms);
    model.advance(next.ms);
  } else if (next.kind === "reset") {
    const keys = ["units", "tokens"];
    expect(await store.reset(actor, keys)).toEqual(model.reset(actor, keys));
  } else if (next.kind === "reap") {
    expect(asMap(await store.reap(1_000), actors)).toEqual(model.reap());
  } else {
    const requestId = `request-${next.id}`;
    if (next.kind === "renew") {
      await store.renew([{ requestId, actor, reached: next.reached }]);
      model.renew(actor, requestId, next.reached);
    } else if (next.kind === "reserve") {
      const rules = inTime(next.rules, advance !== undefined);
      const late = next.late ? { deadlineAt: 0 } : {};
      const call = { requestId, actor, rules, deadlineAt, intent: "", ...late };
      const expected = model.reserve(call);
      const answer = await store.reserve(call);
      expect(answer.kind).toBe(expected.kind);
      if (answer.kind === "refused" && advance) expect(answer.retryAt).toBe(expected.retryAt);
    } else {
      const used = next.kind === "refund" ? "nothing" : next.used === undefined ? {} : { units: next.used };
      const expected = model.settle(actor, requestId, used);
      const call = { requestId, actor, deadlineAt, outcome: "" };
      const answer = used === "nothing" ? await store.refund(call) : await store.commit({ ...call, used });
      expect(answer.kind).toBe(expected);
    }
  }
}

/** Where time cannot be moved, windows that do not end. */
function inTime(rules: readonly Rule[], movable: boolean): readonly Rule[] {
  return movable ? rules : rules.map((rule) => (rule.kind === "window" ? { ...rule, windowMs: neverMs } : rule));
}

function shown(state: { readonly resetAt: number | undefined }, exact: boolean): unknown {
  return exact ? state : { ...state, resetAt: state.resetAt !== undefined };
}

function asMap(found: readonly AbandonedHold[], actors: readonly string[]): Map<string, boolean> {
  const own = found.filter(({ actor }) => actors.includes(actor));
  return new Map(own.map(({ actor, requestId, charged }) => [`${actor} ${requestId}`, charged]));
}
