// Quota stores on Redis, and short words for what tests do with them.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { UnavailableError } from "../../src/errors.js";
import { connectRedis, type RedisConnection } from "../../src/lib/redis.js";
import {
  createRedisQuotaStore,
  type RedisQuotaStore,
  type RedisQuotaStoreOptions,
} from "../../src/quota/redis-store.js";
import type { InFlightRule, Reservation, Rule, Settlement, WindowRule } from "../../src/quota/store.js";
import { recordingLog } from "./log.js";
import { until } from "./redis.js";

/**
 * Bounds for a machine that has more to do than it can, which keeps Redis waiting, too: far below what a call takes that waits
 * for the connection, and what recovery takes that tries ever more rarely. The promises themselves, 110 ms and a second, are
 * measured by `npm run test:soak`.
 */
export const givenUpMs = 400;
export const soonMs = 5_000;
/** For tests of what is counted: there a late answer is no fault. */
export const patientMs = 10_000;

export interface OpenStore extends AsyncDisposable {
  readonly store: RedisQuotaStore;
  readonly redis: RedisConnection;
  readonly log: ReturnType<typeof recordingLog>;
  /** What `onState` was told of `up`, one after another. */
  readonly ups: readonly boolean[];
  /** Which request is whose: an actor of its own for each open store. */
  readonly actor: string;
  reserve(rules: readonly Rule[], requestId?: string): Promise<Reservation>;
  commit(requestId: string, used?: Record<string, number>): Promise<Settlement>;
  refund(requestId: string): Promise<Settlement>;
  /** Reserves and returns the request id; rejects when not admitted. */
  hold(rules: readonly Rule[]): Promise<string>;
  used(rule: Rule): Promise<number>;
}

export interface OpenStoreOptions extends RedisQuotaStoreOptions {
  readonly waits?: boolean;
  readonly actor?: string;
}

/** A store of its own, by default with keys of its own. Waits until it is up, unless told not to. */
export async function openStore(
  endpoint: string,
  { waits = true, actor = `test:${randomUUID()}`, ...options }: OpenStoreOptions = {},
): Promise<OpenStore> {
  const log = recordingLog();
  const redis = connectRedis(endpoint, "quota", { log });
  const ups: boolean[] = [];
  const onState = ({ up }: { up: boolean }): void => {
    if (ups.at(-1) !== up) ups.push(up);
  };
  const store = createRedisQuotaStore({ redis, log, onState }, { prefix: `${randomUUID()}:`, ...options });
  if (waits) await until(async () => store.state().up);
  const deadlineAt = (): number => store.now() + 10_000;
  const reserve: OpenStore["reserve"] = (rules, requestId = randomUUID()) =>
    store.reserve({ requestId, actor, rules, deadlineAt: deadlineAt(), intent: "" });
  return {
    store,
    redis,
    log,
    ups,
    actor,
    reserve,
    commit: (requestId, used = {}) => store.commit({ requestId, actor, used, deadlineAt: deadlineAt(), outcome: "" }),
    refund: (requestId) => store.refund({ requestId, actor, deadlineAt: deadlineAt(), outcome: "" }),
    async hold(rules) {
      const requestId = randomUUID();
      const { kind } = await reserve(rules, requestId);
      if (kind !== "admitted") throw new Error(kind);
      return requestId;
    },
    used: async (rule) => (await store.usage(actor, [rule]))[0]?.used ?? Number.NaN,
    async [Symbol.asyncDispose]() {
      await store.close();
      await redis.close();
    },
  };
}

export function units(limit: number, overrides: Partial<WindowRule> = {}): WindowRule {
  return { kind: "window", key: "units", limit, windowMs: 3_600_000, amount: 1, ...overrides };
}

export function slots(limit: number): InFlightRule {
  return { kind: "in_flight", key: "slots", limit };
}

/** Whether a call has ended before the event loop turned: it waited for nobody. */
export async function endsAtOnce(call: () => Promise<unknown>): Promise<boolean> {
  const ended = call().then(
    () => true,
    () => true,
  );
  return Promise.race([ended, new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
}

/** Calls until the breaker is open. */
export async function untilOpen(open: OpenStore): Promise<void> {
  await until(async () => {
    await open.reserve([units(1_000_000)]).catch(() => undefined);
    return !open.store.state().up;
  });
}

/** Calls every 10 ms; how long it took until one was answered. */
export async function untilServed(open: OpenStore, key = "recovery"): Promise<number> {
  const start = performance.now();
  for (;;) {
    try {
      await open.reserve([units(1_000_000, { key })]);
      return performance.now() - start;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      if (performance.now() - start > 30_000) throw error;
      await sleep(10);
    }
  }
}
