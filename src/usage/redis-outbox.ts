import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import { defineScript, type Script } from "../lib/redis-runs.js";
import { createScriptRunner } from "../lib/redis-scripts.js";
import { createAppendBuffer } from "./append-buffer.js";
import type { UsageEvent } from "./event.js";
import { every } from "./every.js";
import { maxParkedEvents, type Outbox, type OutboxListener } from "./outbox.js";
import { createShardReader } from "./redis-outbox-reader.js";
import { outboxScripts } from "./redis-outbox-scripts.js";
import { createOwnShards, type OutboxShard } from "./redis-shards.js";

export interface RedisOutboxParts {
  /** For this outbox alone. It does not close it. */
  readonly redis: RedisConnection;
  readonly log: Log;
  /** The streams that the quota store writes to. */
  readonly shards: readonly OutboxShard[];
  /** The shard that the store tells of an actor's requests in. */
  readonly shardOf: (actor: UsageEvent["actor"]) => OutboxShard;
}

export interface RedisOutboxOptions {
  /** Most entries of all shards: events, and the starts of requests among them. Default 1,000,000. */
  readonly maxWaiting?: number;
  /** Most events kept in memory while Redis is away. Default 100,000. */
  readonly maxBuffered?: number;
  /**
   * Whether, when too many wait, the oldest are lost to sinks that are behind. Otherwise nobody is to be admitted then: only
   * events of requests that were refused are lost, and what is under way may be more than may wait. Default true.
   */
  readonly dropsOldest?: boolean;
  /** Most events kept that sinks refused. Default 10,000. */
  readonly maxParked?: number;
  /** How long a process that died keeps others from its part of the work. Default 5 s. */
  readonly leaseMs?: number;
  /** Time between two looks for new events. Default 250 ms. */
  readonly pollMs?: number;
  /** How long a call may take. Default 250 ms. */
  readonly timeoutMs?: number;
}

export type OutboxScripts = Readonly<Record<keyof ReturnType<typeof outboxScripts>, Script>>;

/** How long the end waits for Redis. */
const leaveMs = 500;

/**
 * The outbox that the quota store writes to on Redis, for any number of processes. Each reads its part of the shards; what a
 * process that died was reading, others go on with, from where it was.
 */
export function createRedisOutbox(
  parts: RedisOutboxParts,
  sinks: readonly string[],
  options: RedisOutboxOptions = {},
): Outbox {
  const { redis, log, shards } = parts;
  const { maxWaiting = 1_000_000, maxBuffered = 100_000, maxParked = maxParkedEvents, dropsOldest = true } = options;
  const { leaseMs = 5_000, pollMs = 250, timeoutMs = 250 } = options;
  const first = shards[0] as OutboxShard;
  const { scripts, runner } = createRunner(parts, timeoutMs);
  const { run } = runner;
  const own = createOwnShards({ shards, sinks, scripts, run }, { leaseMs });
  const onLost = (sink: string, events: number): void => listener?.lost(sink, events);
  const reader = createShardReader({ own, sinks, scripts, run, log, onLost });
  const lostToAll = (events: number): void => sinks.forEach((sink) => events > 0 && onLost(sink, events));
  const store = (events: readonly UsageEvent[]) => addEntries(parts, events);
  const buffer = createAppendBuffer({ store, onLost: lostToAll }, { maxWaiting: maxBuffered });
  const full = (): boolean => own.waitingInAll() >= maxWaiting || buffer.size >= maxBuffered;
  let listener: OutboxListener | undefined;

  async function poll(): Promise<void> {
    const all = own.all();
    await Promise.allSettled(
      all.map(async (shard) => {
        shard.length = Number(await redis.send(redis.serverOf(shard.slot), "xlen", [shard.outbox]));
        shard.idle.clear();
      }),
    );
    if (own.waiting() > 0) listener?.ready();
  }

  async function beat(): Promise<void> {
    await own.meet();
    const excess = own.waitingInAll() - maxWaiting;
    if (dropsOldest && excess > 0) await reader.discard(Math.ceil((excess * own.waiting()) / own.waitingInAll()));
    await poll();
  }

  const beats = every(leaseMs / 5, beat);
  const polls = every(pollMs, poll);
  redis.onReady(() => {
    // It may be another server, which has not heard of everything.
    own.forget();
    buffer.hint();
    beats.now();
  });

  return {
    maxWaiting,
    durable: true,
    append(event) {
      // Refused because there is no room: there is none for this one either.
      if (!dropsOldest && event.outcome === "refused" && full()) lostToAll(1);
      else buffer.add(event);
    },
    read: reader.read,
    async park({ sink, event, why }) {
      const args = [String(maxParked), sink, why, JSON.stringify(event)];
      const [done] = await run({ script: scripts.park, slot: first.slot, keys: [`${first.outbox}:parked`], args });
      return done === 1;
    },
    waiting(sink) {
      if (sink === undefined) return own.waiting() + buffer.size;
      return own.all().reduce((sum, { length, idle }) => sum + (idle.has(sink) ? 0 : length), 0);
    },
    full,
    listen: (given) => void (listener = given),
    async stored() {
      await buffer.stored();
      await poll();
    },
    async close() {
      beats.stop();
      polls.stop();
      lostToAll(buffer.close());
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, leaveMs)));
      await Promise.race([own.leave(), timeout]);
      clearTimeout(timer);
      runner.stop();
    },
  };
}

function createRunner({ redis, shards }: RedisOutboxParts, timeoutMs: number) {
  const texts = Object.entries(outboxScripts());
  const scripts = Object.fromEntries(texts.map(([name, text]) => [name, defineScript(text)])) as OutboxScripts;
  const bySlot = new Map(shards.map((shard) => [shard.slot, shard]));
  const slots = [...bySlot.keys()];
  const probe = (slot: number) => {
    const { outbox } = bySlot.get(slot) as OutboxShard;
    return { script: scripts.scan, slot, keys: [outbox], args: ["", "0"] };
  };
  return {
    scripts,
    runner: createScriptRunner({ redis, scripts: Object.values(scripts), slots, probe }, { timeoutMs }),
  };
}

/** Writes events that no settlement carried. Resolves to those that could not be written. */
async function addEntries(
  { redis, shardOf }: Pick<RedisOutboxParts, "redis" | "shardOf">,
  events: readonly UsageEvent[],
): Promise<readonly UsageEvent[]> {
  const outcomes = await Promise.allSettled(
    events.map((event) => {
      const { slot, outbox } = shardOf(event.actor);
      return redis.send(redis.serverOf(slot), "xadd", [outbox, "*", "event", JSON.stringify(event)]);
    }),
  );
  return events.filter((_, index) => outcomes[index]?.status === "rejected");
}
