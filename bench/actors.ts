// What it costs to know many actors: `tsx --expose-gc bench/actors.ts [actors] [host:port of a Redis]`. Prints figures as JSON.
// Times are by the process's own CPU clock, so that what else runs on the machine does not count.

import { createHash } from "node:crypto";
import { existsSync, openSync, readSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Actor } from "../src/actors/actor.js";
import { createDirectory, type Directory } from "../src/actors/directory.js";
import { createMemoryActorStore } from "../src/actors/memory-store.js";
import { createRedisActorStore } from "../src/actors/redis-store.js";
import type { ListedPage } from "../src/actors/source.js";
import type { ActorStore } from "../src/actors/store.js";
import { createSyncs } from "../src/actors/sync.js";
import type { ListingSource } from "../src/actors/sync-run.js";
import { createTokenHasher } from "../src/actors/token.js";
import { systemClock } from "../src/lib/clock.js";
import { connectRedis } from "../src/lib/redis.js";

const count = Number(process.argv[2] ?? 10_000);
const redis = process.argv[3];

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const hasher = createTokenHasher("bench");
const dayMs = 86_400_000;
/** As the Enterprise Portal gives them out by default. */
const pageSize = 500;

function token(index: number): string {
  return `slk_${createHash("sha256").update(String(index)).digest("hex")}`;
}

/** One in ten has limits of its own, the others those of one of twenty plans. */
function actor(index: number, updatedAt: Date): Actor {
  const chat = index % 10 === 0 ? 1_000 + index : 50 * (1 + (index % 20));
  const access = (amount: number) => ({
    limits: [
      { amount, unit: "requests" as const, windowMs: dayMs },
      { amount: Math.ceil(amount / 2), unit: "requests" as const, windowMs: 10_000, burst: true },
    ],
    models: ["anthropic/*", "openai/*", "google/*"],
  });
  return {
    id: `${String(index).padStart(8, "0")}-aaaa-4bbb-8ccc-dddddddddddd`,
    name: `Company number ${index}`,
    source: "portal",
    accessEnabled: true,
    features: {
      chat_completions: access(chat),
      code_completions: access(100 * chat),
      embeddings: access(1_000 * chat),
    },
    updatedAt,
  };
}

const source: ListingSource = {
  name: "portal",
  kind: "made up",
  owns: () => true,
  lookup: () => Promise.reject(new Error("not asked")),
  async *list(): AsyncIterable<ListedPage> {
    const updatedAt = new Date();
    for (let at = 0; at < count; at += pageSize) {
      const size = Math.min(pageSize, count - at);
      const entries = Array.from({ length: size }, (_, index) => ({
        kind: "actor" as const,
        actor: actor(at + index, updatedAt),
        tokens: [token(at + index)],
      }));
      // A page arrives by network, in a turn of its own.
      await new Promise((resolve) => setImmediate(resolve));
      yield { entries, estimatedTotal: count };
    }
  },
};

interface Process {
  readonly store: ActorStore;
  readonly directory: Directory;
  close(): Promise<void>;
}

/** What a gateway process has of actors. */
function start(prefix: string): Process {
  const connections = redis === undefined ? [] : [connectRedis(redis, "actors"), connectRedis(redis, "messages")];
  const [commands, messages] = connections;
  const store =
    commands === undefined || messages === undefined
      ? createMemoryActorStore({ clock: systemClock })
      : createRedisActorStore({ redis: commands, messages }, { prefix });
  const directory = createDirectory({ clock: store });
  return {
    store,
    directory,
    async close() {
      await store.close();
      await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}

async function sync({ store, directory }: Process): Promise<void> {
  const parts = { sources: [source], store, directory, hasher, log: silent, process: "bench" };
  const syncs = createSyncs(parts, { intervalMs: 120_000, shrinkGuard: 0.2 });
  for await (const event of syncs.sync("portal")) {
    if (event.kind === "finished" && event.summary.outcome !== "succeeded")
      throw new Error(`sync ended: ${JSON.stringify(event.summary)}`);
  }
  await syncs.close();
}

/** CPU time of `work`, µs an actor. */
async function cpu(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/**
 * CPU time of the thread that runs the event loop, ms: what V8's other threads do meanwhile, compiling and collecting garbage,
 * holds up nobody. Where the system does not tell, that of the process.
 */
function createThreadCpu(): () => number {
  const path = `/proc/self/task/${process.pid}/schedstat`;
  if (!existsSync(path)) {
    return () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000;
    };
  }
  const file = openSync(path, "r");
  const bytes = Buffer.alloc(100);
  return () => Number(bytes.toString("latin1", 0, readSync(file, bytes, 0, bytes.length, 0)).split(" ")[0]) / 1e6;
}

const threadCpuMs = createThreadCpu();

/** The most CPU time, ms, that one turn of the event loop took while `work` was done. */
async function longestTurn(work: () => Promise<void>): Promise<number> {
  let longestMs = 0;
  let over = false;
  let last = threadCpuMs();
  const turn = (): void => {
    const now = threadCpuMs();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  over = true;
  return longestMs;
}

/** CPU time of a look-up by token, ns, over tokens in no order. */
function lookUp({ directory }: Process): number {
  const hashes = Array.from({ length: 1_000 }, () => hasher.hash(token(Math.floor(Math.random() * count))));
  const rounds = 300;
  let found = 0;
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++)
    for (const hash of hashes) if (directory.byToken(hash) !== undefined) found++;
  const { user, system } = process.cpuUsage(before);
  if (found !== rounds * hashes.length) throw new Error("not all actors are known");
  return ((user + system) * 1_000) / found;
}

async function heapBytes(): Promise<number> {
  // What was dropped may be let go only in a later turn.
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await sleep(20);
  }
  return process.memoryUsage().heapUsed;
}

async function follow(process: Process): Promise<void> {
  await process.store.follow(process.directory);
  // A Redis that is connected to for the first time tells a moment later.
  while (!process.directory.state().loaded) await sleep(5);
}

const figures: Record<string, number> = {};
{
  // Code that runs for the first time is slow, and is not what is asked about.
  const warm = start("bench-warm:");
  await follow(warm);
  await sync(warm);
  await warm.close();
}
const bytesBefore = await heapBytes();
const one = start("bench:");
await follow(one);
figures.syncUs = await cpu(() => sync(one));
figures.bytes = ((await heapBytes()) - bytesBefore) / count;
figures.resyncUs = await cpu(() => sync(one));
lookUp(one);
figures.lookupNs = lookUp(one);
const two = start(redis === undefined ? "" : "bench-turns:");
await follow(two);
figures.turnMs = await longestTurn(() => sync(two));
if (redis !== undefined) {
  const other = start("bench:");
  figures.loadUs = await cpu(() => follow(other));
  figures.loadTurnMs = await longestTurn(async () => {
    const third = start("bench:");
    await follow(third);
    await third.close();
  });
  await other.close();
}
console.log(JSON.stringify(figures));
await Promise.all([one.close(), two.close()]);
