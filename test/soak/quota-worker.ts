// A process that makes requests of a few actors on one Redis, as a gateway does, until it has made enough of them.
// Started by `quota-fleet.ts`, with its orders as JSON.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { UnavailableError } from "../../src/errors.js";
import { connectRedis } from "../../src/lib/redis.js";
import { createRedisQuotaStore } from "../../src/quota/redis-store.js";
import type { Reservation, Rule } from "../../src/quota/store.js";

export interface WorkerOrders {
  readonly endpoint: string;
  readonly prefix: string;
  readonly actors: number;
  /** Requests of each actor, and those in flight. */
  readonly limit: number;
  readonly inFlight: number;
  readonly decisions: number;
  readonly concurrency: number;
  readonly leaseMs: number;
  /** How far off this machine's clock is. */
  readonly clockShiftMs: number;
}

/** What the process saw itself. */
export interface WorkerReport {
  readonly decided: number;
  readonly admitted: number;
  readonly committed: number;
  readonly refunded: number;
  /** Calls that had to be made again, because Redis was away. */
  readonly repeated: number;
}

const orders = JSON.parse(process.argv[2] ?? "{}") as WorkerOrders;
const wall = Date.now;
Date.now = () => wall() + orders.clockShiftMs;

const redis = connectRedis(orders.endpoint, "quota");
const { prefix, leaseMs } = orders;
const store = createRedisQuotaStore({ redis }, { prefix, leaseMs, timeoutMs: 250 });
const rules: readonly Rule[] = [
  { kind: "window", key: "requests", limit: orders.limit, windowMs: 86_400_000, amount: 1 },
  { kind: "in_flight", key: "in_flight", limit: orders.inFlight },
];
const seen = { decided: 0, admitted: 0, committed: 0, refunded: 0, repeated: 0 };

/** Makes a call until it is answered: its id keeps it from counting twice. */
async function persistently<T extends { kind: string }>(call: (deadlineAt: number) => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const answer = await call(store.now() + 250);
      if (answer.kind !== "late") return answer;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
    }
    seen.repeated++;
    await sleep(10);
  }
}

async function request(): Promise<void> {
  const common = { requestId: randomUUID(), actor: `fleet:${Math.floor(Math.random() * orders.actors)}` };
  const { kind }: Reservation = await persistently((deadlineAt) =>
    store.reserve({ ...common, rules, deadlineAt, intent: "" }),
  );
  seen.decided++;
  if (kind !== "admitted") return;
  seen.admitted++;
  const luck = Math.random();
  // Some are forgotten, as by a process that dies.
  if (luck < 0.02) return;
  if (luck < 0.2) {
    await persistently((deadlineAt) => store.refund({ ...common, deadlineAt, outcome: "" }));
    seen.refunded++;
  } else {
    await persistently((deadlineAt) => store.commit({ ...common, used: {}, deadlineAt, outcome: "" }));
    seen.committed++;
  }
}

await Promise.all(
  Array.from({ length: orders.concurrency }, async () => {
    while (seen.decided < orders.decisions) await request();
  }),
);
process.send?.(seen satisfies WorkerReport);
await store.close();
await redis.close();
process.disconnect();
