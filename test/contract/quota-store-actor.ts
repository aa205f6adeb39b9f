import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { InFlightRule, QuotaStore, Reservation, ReserveCall, WindowRule } from "../../src/quota/store.js";

/** A store of its own for one test, or at least without a trace of the others' actors. */
export interface StoreUnderTest {
  readonly store: QuotaStore;
  /** Moves the store's time on. Absent where time is real: then the suite waits, with short windows and leases. */
  readonly advance?: (ms: number) => Promise<void>;
}

export interface StoreSettings {
  readonly leaseMs: number;
  /** As stores have it where absent. */
  readonly maxCounters?: number;
}

export type MakeStore = (settings: StoreSettings) => Promise<StoreUnderTest>;

export const hourMs = 3_600_000;
export const longLeaseMs = 30_000;
/** Windows and leases that are waited for: long enough for what has to happen within them on a busy machine. */
export const shortMs = 3_500;

/** One actor at a store, and short words for what it does. */
export async function testActor(makeStore: MakeStore, { leaseMs = longLeaseMs, id = `test:${randomUUID()}` } = {}) {
  const { store, advance } = await makeStore({ leaseMs });
  const actor = id;
  const deadlineAt = (): number => store.now() + 5_000;
  const reserve = (rules: ReserveCall["rules"], overrides: Partial<ReserveCall> = {}): Promise<Reservation> =>
    store.reserve({ requestId: randomUUID(), actor, rules, deadlineAt: deadlineAt(), intent: "", ...overrides });
  /** Who hears nothing of a store for long has to take it for away, and to spare what ended meanwhile: it is asked all the time. */
  const waitReally = async (ms: number): Promise<void> => {
    for (const end = performance.now() + ms + 5; performance.now() < end; ) {
      await store.usage(actor, [units(1)]);
      await sleep(Math.max(0, Math.min(200, end - performance.now())));
    }
  };
  const wait = advance ?? waitReally;
  return {
    store,
    actor,
    /** Whether times can be foretold to the millisecond. */
    exact: advance !== undefined,
    reserve,
    hold: async (rules: ReserveCall["rules"], requestId: string = randomUUID()): Promise<string> => {
      expect(await reserve(rules, { requestId })).toMatchObject({ kind: "admitted" });
      return requestId;
    },
    commit: (requestId: string, used: Record<string, number> = {}) =>
      store.commit({ requestId, actor, used, deadlineAt: deadlineAt(), outcome: "" }),
    refund: (requestId: string) => store.refund({ requestId, actor, deadlineAt: deadlineAt(), outcome: "" }),
    renew: (requestId: string, reached: boolean) => store.renew([{ requestId, actor, reached }]),
    used: async (rule: WindowRule | InFlightRule) => (await store.usage(actor, [rule]))[0]?.used,
    wait,
    until: async (at: number): Promise<void> => {
      for (let left = at - store.now(); left > 0; left = at - store.now()) await (advance ?? sleep)(left);
    },
  };
}

export function units(limit: number, overrides: Partial<WindowRule> = {}): WindowRule {
  return { kind: "window", key: "units", limit, windowMs: hourMs, amount: 1, ...overrides };
}

export function slots(limit: number): InFlightRule {
  return { kind: "in_flight", key: "slots", limit };
}
