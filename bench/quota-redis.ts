// How many requests one process decides on Redis: `tsx bench/quota-redis.ts [seconds per row] [single|single with an append-only
// file|cluster of 3]`. Rates are by the process's own CPU clock. Below stands how many there were by the clock on the wall, where
// the servers have a share of the same machine, what a call costs the process and the servers, and how long one took.

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpus } from "node:os";
import { uniqueId } from "../src/lib/ids.js";
import { connectRedis } from "../src/lib/redis.js";
import { createRedisQuotaStore, type RedisQuotaStore } from "../src/quota/redis-store.js";
import type { Rule } from "../src/quota/store.js";
import { type RedisServer, startCluster, startDurableRedis, startRedis, until } from "../test/helpers/redis.js";

const seconds = Number(process.argv[2] ?? 3);
const only = process.argv[3];
/** Long: what else runs on the machine must not end the measurement. */
const timeoutMs = 2_000;

const requests: Rule = {
  kind: "window",
  key: "chat_completions:requests",
  limit: 1e12,
  windowMs: 86_400_000,
  amount: 1,
};
const tokens: Rule = {
  kind: "window",
  key: "chat_completions:tokens",
  limit: 1e15,
  windowMs: 86_400_000,
  amount: 1_000,
};
const inFlight: Rule = { kind: "in_flight", key: "chat_completions:in_flight", limit: 1_000 };
const nothingLeft: Rule = { kind: "window", key: "none", limit: 0, windowMs: 86_400_000, amount: 1 };
const intent = JSON.stringify({ feature: "chat_completions", model: "anthropic/claude-sonnet-4-5", at: 1_764_000_000 });

interface Kind {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly settles: boolean;
  readonly concurrency: number;
}

const kinds: readonly Kind[] = [
  { name: "refused", rules: [nothingLeft], settles: false, concurrency: 256 },
  { name: "1 limit, reserved", rules: [requests], settles: false, concurrency: 256 },
  ...[1, 64, 256].map((concurrency) => ({ name: "1 limit", rules: [requests], settles: true, concurrency })),
  { name: "3 limits", rules: [requests, tokens, inFlight], settles: true, concurrency: 256 },
];

/** Requests one after another, until told to stop. Returns how many. `waited` gets how long each call took, ms. */
async function requestsOf(
  store: RedisQuotaStore,
  { rules, settles }: Kind,
  actor: string,
  { running, waited }: { running: () => boolean; waited: number[] },
): Promise<number> {
  let decisions = 0;
  while (running()) {
    const at = performance.now();
    const call = { requestId: uniqueId(), actor, deadlineAt: store.now() + timeoutMs };
    const { kind } = await store.reserve({ ...call, rules, intent });
    if (kind === "late") throw new Error("late");
    decisions++;
    waited.push(performance.now() - at);
    if (settles) await store.commit({ ...call, deadlineAt: store.now() + timeoutMs, used: {}, outcome: "ok" });
  }
  return decisions;
}

async function cpuOf(servers: readonly RedisServer[]): Promise<number> {
  const infos = await Promise.all(servers.map(({ client }) => client.info("cpu")));
  const used = infos.map((text) =>
    [/used_cpu_user:([\d.]+)/, /used_cpu_sys:([\d.]+)/].map((key) => Number(key.exec(text)?.[1])),
  );
  return used.flat().reduce((a, b) => a + b, 0) * 1e6;
}

async function measure(name: string, endpoint: string, servers: readonly RedisServer[], kind: Kind): Promise<void> {
  const redis = connectRedis(endpoint, "quota");
  const store = createRedisQuotaStore({ redis }, { prefix: `${randomBytes(4).toString("hex")}:`, timeoutMs });
  await until(async () => store.state().up);
  const waited: number[] = [];
  const run = async (forMs: number): Promise<number> => {
    waited.length = 0;
    const end = performance.now() + forMs;
    const running = (): boolean => performance.now() < end;
    const callers = Array.from({ length: kind.concurrency }, (_, i) =>
      requestsOf(store, kind, `bench:${i % 100}`, { running, waited }),
    );
    return (await Promise.all(callers)).reduce((a, b) => a + b, 0);
  };
  await run(seconds * 250);
  const [cpu, serverCpu, start] = [process.cpuUsage(), await cpuOf(servers), performance.now()];
  const decisions = await run(seconds * 1_000);
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  const serversUs = (await cpuOf(servers)) - serverCpu;
  await store.close();
  await redis.close();
  await Promise.all(servers.map(({ client }) => client.flushall()));

  const calls = decisions * (kind.settles ? 2 : 1);
  const what = kind.settles ? "reserve + commit" : "reserve";
  const row = `redis ${name}, ${kind.name}, ${kind.concurrency} at once`;
  const rate = Math.round((decisions / (user + system)) * 1e6).toLocaleString("en");
  console.log(`${row.padEnd(62)}${rate.padStart(10)} ${what} a second`);
  const wall = Math.round((decisions / elapsedMs) * 1_000).toLocaleString("en");
  const costs = `${((user + system) / calls).toFixed(1)} µs a call here, ${(serversUs / calls).toFixed(1)} there`;
  const sorted = waited.toSorted((a, b) => a - b);
  const waits = [0.5, 0.99].map((share) => sorted[Math.floor(share * sorted.length)]?.toFixed(2)).join(" and ");
  console.log(`  ${wall} by the clock on the wall; ${costs}; a reserve took ${waits} ms (p50, p99)`);
}

/** Where this process is pinned to one core, the servers are to have the other. */
function pinElsewhere(servers: readonly RedisServer[]): void {
  if (cpus().length < 2) return;
  for (const { pid } of servers) spawnSync("taskset", ["-acp", "1", String(pid)], { stdio: "ignore" });
}

for (const [name, start] of [
  ["single", () => startRedis()],
  ["single with an append-only file", () => startDurableRedis()],
] as const) {
  if (only !== undefined && only !== name) continue;
  await using server = await start();
  pinElsewhere([server]);
  for (const kind of kinds) await measure(name, server.endpoint, [server], kind);
}
if (only === undefined || only === "cluster of 3") {
  await using cluster = await startCluster();
  pinElsewhere(cluster.nodes);
  for (const kind of kinds) await measure("cluster of 3", cluster.endpoint, cluster.nodes, kind);
}
process.exit(0);
