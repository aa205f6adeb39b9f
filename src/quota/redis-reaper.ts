// Sweeping the shards: holds whose lease ended, and what became of them.

import type { Script, ScriptAnswer, ScriptCall } from "../lib/redis-runs.js";
import type { ActorKeys, QuotaKeys, Shard } from "./redis-keys.js";
import type { AbandonedHold } from "./store.js";

export interface Reaper {
  /** See `QuotaStore.reap`. One shard that cannot be asked does not keep the others from being swept. */
  reap(max: number): Promise<readonly AbandonedHold[]>;
}

export interface ReaperParts {
  readonly keys: QuotaKeys;
  readonly scripts: Readonly<Record<"due" | "abandon" | "take", Script>>;
  readonly run: (call: ScriptCall) => Promise<ScriptAnswer>;
  /** What scripts in a slot are told first: see `RedisContact`. */
  readonly heard: (slot: number) => string;
}

/** Holds settled at once in one shard, and shards at once: a sweep must not keep requests waiting. */
const batchSize = 100;
const shardsAtOnce = 8;

export function createReaper(
  { keys, scripts, run, heard }: ReaperParts,
  /** 1 or 0, as the scripts take it: whether the outbox is told. */
  { told: outbox }: { readonly told: string },
): Reaper {
  const told = (slot: number) => ({ firstArgs: () => [heard(slot)] });

  /** Settles what is due in a shard. Returns whether abandoned holds wait there to be told of. */
  async function sweep(shard: Shard): Promise<boolean> {
    const { slot } = shard;
    const args = [String(batchSize)];
    const [, , waiting, ...due] = await run({ script: scripts.due, slot, keys: shardKeys(shard), args, ...told(slot) });
    const calls = [...groupByActor(due.map(String))].map(([hash, ids]) => abandon(keys.inShard(shard, hash), ids));
    await Promise.all(calls.map(run));
    return Number(waiting) > 0 || calls.length > 0;
  }

  function abandon({ shard, hash, keys: names }: ActorKeys, ids: readonly string[]): ScriptCall {
    const args = [outbox, hash, ...ids];
    return { script: scripts.abandon, slot: shard.slot, keys: names, args, ...told(shard.slot) };
  }

  async function take(shard: Shard, max: number): Promise<readonly AbandonedHold[]> {
    const call = { script: scripts.take, slot: shard.slot, keys: shardKeys(shard), args: [String(max)] };
    const [, , ...found] = await run(call);
    return Array.from({ length: found.length / 2 }, (_, i) => readAbandoned(String(found[2 * i]), found[2 * i + 1]));
  }

  return {
    async reap(max) {
      // From somewhere else each time: what comes first is not always told of first.
      const shards = rotated(keys.shards, Math.floor(Math.random() * keys.shards.length));
      const swept = await inTurns(shards, sweep);
      const failed = swept.find(({ status }) => status === "rejected");
      if (failed?.status === "rejected" && swept.every(({ status }) => status === "rejected")) throw failed.reason;

      const found: AbandonedHold[] = [];
      for (const [index, outcome] of swept.entries()) {
        const left = max - found.length;
        if (left <= 0) break;
        if (outcome.status === "rejected" || !outcome.value) continue;
        // What was taken so far has to be told of: the next sweep finds the rest.
        const taken = await take(shards[index] as Shard, left).catch(() => []);
        found.push(...taken);
      }
      return found;
    },
  };
}

function shardKeys({ leases, outbox, abandoned }: Shard): readonly string[] {
  return [leases, outbox, abandoned];
}

/** Leases are named by the actor's hash, 32 characters, and the request id. */
function groupByActor(leases: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const byActor = new Map<string, string[]>();
  for (const lease of leases) {
    const hash = lease.slice(0, 32);
    const ids = byActor.get(hash) ?? [];
    ids.push(lease.slice(32));
    byActor.set(hash, ids);
  }
  return byActor;
}

function readAbandoned(entry: string, charged: unknown): AbandonedHold {
  const { id, actor, intent } = JSON.parse(entry) as { id: string; actor: string; intent: string };
  return { requestId: id, actor, charged: charged === "1", intent };
}

async function inTurns<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<readonly PromiseSettledResult<R>[]> {
  const outcomes: PromiseSettledResult<R>[] = [];
  for (let from = 0; from < items.length; from += shardsAtOnce)
    outcomes.push(...(await Promise.allSettled(items.slice(from, from + shardsAtOnce).map(work))));
  return outcomes;
}

function rotated<T>(items: readonly T[], by: number): readonly T[] {
  return [...items.slice(by), ...items.slice(0, by)];
}
