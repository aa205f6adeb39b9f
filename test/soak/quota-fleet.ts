// Several processes on one Redis, and what must be true of it whatever happened to them.

import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createQuotaKeys } from "../../src/quota/redis-keys.js";
import { diesWithUs } from "../helpers/dies-with-us.js";
import { processFile } from "../helpers/process-files.js";
import type { RedisServer } from "../helpers/redis.js";
import type { WorkerOrders, WorkerReport } from "./quota-worker.js";

export interface Worker {
  /** What it reported, or undefined when it was killed. */
  readonly done: Promise<WorkerReport | undefined>;
  /** As a crash. */
  kill(): void;
}

export function fleetOrders(endpoint: string, overrides: Partial<WorkerOrders> = {}): WorkerOrders {
  const usual = { actors: 10, limit: 100, inFlight: 20, decisions: 1_000, concurrency: 8, leaseMs: 2_000 };
  return { endpoint, prefix: `${randomUUID()}:`, clockShiftMs: 0, ...usual, ...overrides };
}

export function startWorker(orders: WorkerOrders): Worker {
  const child = fork(processFile("quota-worker"), [JSON.stringify(orders)], { execArgv: [] });
  diesWithUs(child);
  let report: WorkerReport | undefined;
  child.once("message", (message) => {
    report = message as WorkerReport;
  });
  const done = once(child, "exit").then(([code]: unknown[]) => {
    if (typeof code === "number" && code !== 0) throw new Error(`worker ended with ${code}`);
    return report;
  });
  // Looked at when the test comes to it.
  done.catch(() => undefined);
  return { done, kill: () => void child.kill("SIGKILL") };
}

/** What the outbox tells of one actor's requests. */
export interface Tally {
  /** Ids in the order they were told of. */
  readonly reserved: readonly string[];
  readonly finished: readonly string[];
  readonly refunded: readonly string[];
  readonly abandoned: readonly { readonly id: string; readonly charged: boolean }[];
}

/** What the outbox tells, by actor. */
export async function readOutbox({ client }: RedisServer, prefix: string): Promise<ReadonlyMap<string, Tally>> {
  const tallies = new Map<string, { [K in keyof Tally]: Tally[K][number][] }>();
  for (const { outbox } of createQuotaKeys(prefix).shards) {
    for (let from = "-"; ; ) {
      const entries = await client.xrange(outbox, from, "+", "COUNT", 5_000);
      for (const [, [kind = "", text = "", , of = ""]] of entries) {
        const { id, actor } = JSON.parse(kind === "abandoned" ? of : text) as { id: string; actor: string };
        const tally = tallies.get(actor) ?? { reserved: [], finished: [], refunded: [], abandoned: [] };
        tallies.set(actor, tally);
        if (kind === "abandoned") tally.abandoned.push({ id, charged: text === "1" });
        else tally[kind as "reserved" | "finished" | "refunded"].push(id);
      }
      const last = entries.at(-1)?.[0];
      if (last === undefined) break;
      from = `(${last}`;
    }
  }
  return tallies;
}
