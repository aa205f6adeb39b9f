// How many admissions, each with its settlement, one process decides on Redis: `tsx bench/quota-redis.ts [seconds per row]`.
// Beside the rate by the clock on the wall stands what a call costs the gateway's and the server's own CPU clocks: what else
// runs on the machine counts in the first, hardly in the others.

import { randomBytes } from "node:crypto";
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
}

const kinds: readonly Kind[] = [
  { name: "refused", rules: [nothingLeft], settles: false },
  { name: "1 limit, admitted and charged", rules: [requests], settles: true },
  { name: "3 limits, admitted and charged", rules: [requests, tokens, inFlight], settles: true },
];

/** Requests one after another, until told to stop. Returns the decisions and the calls made. */
async function requestsOf(store: RedisQuotaStore, { rules, settles }: Kind, name: string, running: () => boolean) {
  let decisions = 0;
  while (running()) {
    const call = { requestId: randomBytes(12).toString("base64url"), actor: name, deadlineAt: store.now() + timeoutMs };
    const { kind } = await store.reserve({ ...call, rules, intent });
    if (kind === "late") throw new Error("late");
    decisions++;
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

async function measure(name: string, endpoint: string, servers: readonly RedisServer[]): Promise<void> {
  for (const concurrency of [1, 64, 256]) {
    for (const kind of kinds) {
      const redis = connectRedis(endpoint, "quota");
      const store = createRedisQuotaStore({ redis }, { prefix: `${randomBytes(4).toString("hex")}:`, timeoutMs });
      await until(async () => store.state().up);
      const [cpu, serverCpu, start] = [process.cpuUsage(), await cpuOf(servers), performance.now()];
      const running = (): boolean => performance.now() - start < seconds * 1_000;
      const all = await Promise.all(
        Array.from({ length: concurrency }, (_, i) => requestsOf(store, kind, `bench:${i % 100}`, running)),
      );
      const elapsedMs = performance.now() - start;
      const { user, system } = process.cpuUsage(cpu);
      const serversUs = (await cpuOf(servers)) - serverCpu;
      const decisions = all.reduce((a, b) => a + b, 0);
      const calls = decisions * (kind.settles ? 2 : 1);
      const perSecond = Math.round((decisions / elapsedMs) * 1_000).toLocaleString("en");
      const row = `${name}, ${kind.name}, ${concurrency} at once`;
      const costs = `${((user + system) / calls).toFixed(1).padStart(6)} us a call here ${(serversUs / calls).toFixed(1).padStart(6)} us there`;
      console.log(`${row.padEnd(58)}${perSecond.padStart(9)} decisions/s ${costs}`);
      await store.close();
      await redis.close();
      await Promise.all(servers.map(({ client }) => client.flushall()));
    }
  }
}

for (const [name, start] of [
  ["single", () => startRedis()],
  ["single, append-only file", () => startDurableRedis()],
] as const) {
  if (only !== undefined && only !== name) continue;
  await using server = await start();
  await measure(name, server.endpoint, [server]);
}
if (only === undefined || only === "cluster") {
  await using cluster = await startCluster();
  await measure("cluster of 3", cluster.endpoint, cluster.nodes);
}
process.exit(0);
