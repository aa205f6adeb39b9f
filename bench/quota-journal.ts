// How many admissions, each with its settlement, one process decides and writes to a database on disk:
// `tsx bench/quota-journal.ts [seconds per row]`. Rates are by the process's own CPU clock, that of the database's thread
// included. Beside them stands for how long the event loop stood still at most, as an interval of 1 ms saw it: on a machine that
// has more to do, that is its doing too.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/lib/clock.js";
import { openDatabase } from "../src/lib/database.js";
import { createJournalQuotaStore } from "../src/quota/journal-store.js";
import type { QuotaStore, Rule } from "../src/quota/store.js";

const seconds = Number(process.argv[2] ?? 2);
const concurrency = 256;

const requests: Rule = { kind: "window", key: "requests", limit: 1e12, windowMs: 86_400_000, amount: 1 };
const tokens: Rule = { kind: "window", key: "tokens", limit: 1e15, windowMs: 86_400_000, amount: 1_000 };
const inFlight: Rule = { kind: "in_flight", key: "in_flight", limit: 1_000_000 };
const intent = JSON.stringify({ feature: "chat_completions", model: "anthropic/claude-sonnet-4-5", at: 1_764_000_000 });

/** Requests one after another, until told to stop. Returns how many. */
async function requestsOf(
  store: QuotaStore,
  actors: readonly string[],
  rules: readonly Rule[],
  running: () => boolean,
) {
  let made = 0;
  while (running()) {
    const actor = actors[Math.floor(Math.random() * actors.length)] as string;
    const call = { requestId: randomBytes(12).toString("base64url"), actor, deadlineAt: Infinity };
    const answer = await store.reserve({ ...call, rules, intent });
    if (answer.kind !== "admitted") throw new Error(`not admitted: ${answer.kind}`);
    await store.commit({ ...call, used: { tokens: 900 }, outcome: "" });
    made++;
  }
  return made;
}

/** The longest pause between two ticks of 1 ms, until it is asked. */
function watchPauses(): () => number {
  let [longest, last] = [0, performance.now()];
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

async function measure(name: string, rules: readonly Rule[], actorCount: number): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "cody-bench-"));
  const database = await openDatabase(dir, { stallMs: 60_000 });
  const store = await createJournalQuotaStore(
    { clock: systemClock, database, log: console },
    { timeoutMs: 60_000, outbox: false },
  );
  const actors = Array.from({ length: actorCount }, (_, i) => `bench:${i}`);
  const longestPause = watchPauses();
  const before = process.cpuUsage();
  const cpuUs = (): number => {
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  const running = (): boolean => cpuUs() < seconds * 1e6;
  const made = await Promise.all(Array.from({ length: concurrency }, () => requestsOf(store, actors, rules, running)));
  const perSecond = (made.reduce((a, b) => a + b, 0) / cpuUs()) * 1e6;
  const pauseMs = longestPause();
  await store.close();
  await database.close();
  await rm(dir, { recursive: true });
  const row = `journal store, ${name}, ${actorCount.toLocaleString("en")} actors`;
  const rate = Math.round(perSecond).toLocaleString("en").padStart(10);
  console.log(`${row.padEnd(45)}${rate} reserve + commit a second`);
  console.log(`  the event loop stood still for ${pauseMs.toFixed(1)} ms at most`);
}

for (const [name, rules] of [
  ["1 limit", [requests]],
  ["3 limits", [requests, tokens, inFlight]],
] as const) {
  for (const actorCount of [1, 1_000, 100_000]) await measure(name, rules, actorCount);
}
