// How many admissions, each with its settlement, one core decides: `tsx bench/quota.ts [seconds per row]`.
// Rates are by the process's own CPU clock, so that what else runs on the machine does not count.

import { randomBytes } from "node:crypto";
import { systemClock } from "../src/lib/clock.js";
import { createMemoryQuotaStore } from "../src/quota/memory-store.js";
import type { QuotaStore, Rule } from "../src/quota/store.js";

const seconds = Number(process.argv[2] ?? 2);

const requests: Rule = { kind: "window", key: "requests", limit: 1e12, windowMs: 86_400_000, amount: 1 };
const tokens: Rule = { kind: "window", key: "tokens", limit: 1e15, windowMs: 86_400_000, amount: 1_000 };
const inFlight: Rule = { kind: "in_flight", key: "in_flight", limit: 1_000 };

async function reserveAndCommit(
  store: QuotaStore,
  ids: string[],
  actors: string[],
  rules: readonly Rule[],
): Promise<void> {
  let next = 0;
  for (const requestId of ids) {
    const actor = actors[next++ % actors.length] as string;
    const deadlineAt = store.now() + 60_000;
    const answer = await store.reserve({ requestId, actor, rules, deadlineAt, intent: "" });
    if (answer.kind !== "admitted") throw new Error(`not admitted: ${answer.kind}`);
    await store.commit({ requestId, actor, used: { tokens: 900 }, deadlineAt, outcome: "" });
  }
}

/** Reservations, each committed, in a second of CPU time. */
async function rate(store: QuotaStore, actorCount: number, rules: readonly Rule[]): Promise<number> {
  const actors = Array.from({ length: actorCount }, (_, i) => `bench:${i}`);
  let made = 0;
  let cpuUs = 0;
  while (cpuUs < seconds * 1e6) {
    const ids = Array.from({ length: 1_000 }, () => randomBytes(12).toString("base64url"));
    const before = process.cpuUsage();
    await reserveAndCommit(store, ids, actors, rules);
    const { user, system } = process.cpuUsage(before);
    made += ids.length;
    cpuUs += user + system;
  }
  return (made / cpuUs) * 1e6;
}

for (const [name, rules] of [
  ["1 limit", [requests]],
  ["3 limits", [requests, tokens, inFlight]],
] as const) {
  for (const actorCount of [1, 1_000, 100_000]) {
    const perSecond = await rate(createMemoryQuotaStore({ clock: systemClock }), actorCount, rules);
    const row = `memory store, ${name}, ${actorCount.toLocaleString("en")} actors`;
    console.log(
      `${row.padEnd(45)}${Math.round(perSecond).toLocaleString("en").padStart(10)} reserve + commit a second`,
    );
  }
}
