// Processes that decide about the same actors on one Redis in trouble: what is let in is exactly what the limits say, at all
// times and to the last unit. Judged by what the processes let in, by the counters, and by the outbox, which tells of every
// admission and settlement in the order in which Redis made them.

import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect } from "vitest";
import { systemClock } from "../../src/lib/clock.js";
import { createQuota } from "../../src/quota/quota.js";
import { createQuotaKeys } from "../../src/quota/redis-keys.js";
import { diesWithUs } from "../helpers/dies-with-us.js";
import { processFile } from "../helpers/process-files.js";
import { type RedisServer, startRedis } from "../helpers/redis.js";
import { openStore, patientMs } from "../helpers/redis-quota.js";
import { type DecisionOrders, type DecisionReport, decisionActor } from "./decision-orders.js";
import { inTrouble, type Trouble } from "./trouble.js";

export interface ExactDecisions extends Pick<DecisionOrders, "actors" | "limit" | "inFlight"> {
  readonly processes: number;
  /** Of all processes. */
  readonly decisions: number;
  /** Requests under way at a time in each process. */
  readonly concurrency: number;
  readonly trouble: Trouble;
}

/** What was seen, in sums over the processes. */
export interface ExactDecisionsReport {
  readonly decided: number;
  readonly admitted: number;
  readonly refunded: number;
  readonly away: number;
  readonly stops: number;
  /** Scripts that Redis ran. */
  readonly scripts: number;
  readonly tookMs: number;
}

export async function exactDecisions(plan: ExactDecisions): Promise<ExactDecisionsReport> {
  const { actors, limit, inFlight, concurrency } = plan;
  await using redis = await startRedis();
  const prefix = `${randomUUID()}:`;
  const decisions = Math.ceil(plan.decisions / plan.processes);
  const orders = { endpoint: redis.endpoint, prefix, actors, limit, inFlight, decisions, concurrency };
  const workers = Array.from({ length: plan.processes }, () => startWorker(orders));
  const startedAt = performance.now();
  const [, stops] = await inTrouble(redis, plan.trouble, () => Promise.all(workers.map(({ stormed }) => stormed)));
  const tookMs = performance.now() - startedAt;
  const reports = await Promise.all(workers.map((worker) => worker.goOn()));

  const sum = (of: (report: DecisionReport) => number): number => reports.reduce((total, each) => total + of(each), 0);
  expect(sum(({ lost }) => lost)).toBe(0);
  const perActor = Array.from({ length: actors }, (_, index) => sum(({ committed }) => committed[index] ?? 0));
  expect(new Set(perActor)).toEqual(new Set([limit]));
  expect(await counted(redis, plan, prefix)).toEqual(new Set([`requests ${limit} 0,in_flight 0 0`]));
  const told = await toldOf(redis, prefix);
  expect(told.size).toBe(actors);
  for (const [actor, { mostLive, givenBack: _, ...rest }] of told) {
    expect(rest, actor).toEqual({ used: limit, live: 0, most: limit, committed: limit });
    expect(mostLive, actor).toBeLessThanOrEqual(inFlight);
  }

  const admitted = sum((report) => report.admitted);
  return {
    decided: admitted + sum(({ refused }) => refused),
    admitted,
    refunded: sum(({ refunded }) => refunded),
    away: sum(({ away }) => away),
    stops,
    scripts: await scriptsRun(redis),
    tookMs: Math.round(tookMs),
  };
}

/** What the quota says of each actor: units used, of them held, and slots in use. */
async function counted(redis: RedisServer, plan: ExactDecisions, prefix: string): Promise<ReadonlySet<string>> {
  await using open = await openStore(redis.endpoint, { prefix, timeoutMs: patientMs });
  const quota = createQuota({ store: open.store, clock: systemClock });
  const found = new Set<string>();
  for (let index = 0; index < plan.actors; index++) {
    const states = (await quota.limits(decisionActor(index, plan))).get("chat_completions") ?? [];
    found.add(states.map(({ unit, used, held }) => `${unit} ${used} ${held}`).join());
  }
  await quota.close();
  return found;
}

interface Told {
  /** Units counted and slots in use as of the entry that was read last, and the most that they ever were. */
  used: number;
  live: number;
  most: number;
  mostLive: number;
  /** Settled as used, and given back, by whoever held them or because nobody came. */
  committed: number;
  givenBack: number;
}

/** What the outbox tells of each actor, from its first entry to its last. */
async function toldOf({ client }: RedisServer, prefix: string): Promise<ReadonlyMap<string, Told>> {
  const byActor = new Map<string, Told>();
  for (const { outbox } of createQuotaKeys(prefix).shards) {
    for (let from = "-"; ; ) {
      const entries = await client.xrange(outbox, from, "+", "COUNT", 5_000);
      for (const [, fields] of entries) count(byActor, fields);
      const last = entries.at(-1)?.[0];
      if (last === undefined) break;
      from = `(${last}`;
    }
  }
  return byActor;
}

function count(byActor: Map<string, Told>, [kind, text = "", , abandoned = ""]: readonly string[]): void {
  const { actor } = JSON.parse(kind === "abandoned" ? abandoned : text) as { actor: string };
  const told = byActor.get(actor) ?? { used: 0, live: 0, most: 0, mostLive: 0, committed: 0, givenBack: 0 };
  byActor.set(actor, told);
  told.live += kind === "reserved" ? 1 : -1;
  if (kind === "reserved") told.used++;
  else if (kind === "finished") told.committed++;
  else {
    // Nobody says that an upstream was reached: what is abandoned is what an answer was lost of.
    if (kind === "abandoned") expect(text).toBe("0");
    told.givenBack++;
    told.used--;
  }
  told.most = Math.max(told.most, told.used);
  told.mostLive = Math.max(told.mostLive, told.live);
}

async function scriptsRun({ client }: RedisServer): Promise<number> {
  const calls = (await client.info("commandstats")).matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm);
  return [...calls].reduce((total, [, times]) => total + Number(times), 0);
}

interface Worker {
  /** Resolves when it has decided as often as it was to. */
  readonly stormed: Promise<unknown>;
  /** Lets it take what is left, and resolves to what it saw when it has ended. */
  goOn(): Promise<DecisionReport>;
}

function startWorker(orders: DecisionOrders): Worker {
  const child = fork(processFile("decision-worker"), [JSON.stringify(orders)], {
    execArgv: ["--stack-trace-limit=0"],
  });
  diesWithUs(child);
  const ended = once(child, "exit").then(([code]: unknown[]) => {
    if (code !== 0) throw new Error(`a process that decides ended with ${String(code)}`);
  });
  const next = (): Promise<unknown> =>
    Promise.race([once(child, "message").then(([message]: unknown[]) => message), ended.then(() => undefined)]);
  return {
    stormed: next(),
    async goOn() {
      const report = next();
      child.send("go on");
      const answer = (await report) as DecisionReport;
      await ended;
      return answer;
    },
  };
}
