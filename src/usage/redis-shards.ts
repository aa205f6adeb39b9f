// Who reads which shard of the outbox: the processes divide the shards among them, by name, and each holds a lease on its own.

import { hash, randomUUID } from "node:crypto";
import type { ScriptAnswer, ScriptCall } from "../lib/redis-runs.js";
import type { OutboxScripts } from "./redis-outbox.js";

/** One of the streams of the outbox, as the quota store has laid it out. */
export interface OutboxShard {
  readonly slot: number;
  /** Name of the stream. Names of what belongs to it begin with it: so they are in the same slot. */
  readonly outbox: string;
}

/** A shard, as far as this process reads it. */
export interface OwnShard extends OutboxShard {
  /** Entries in it, when last seen. */
  length: number;
  /** Last entry that each sink has. */
  readonly marks: Map<string, string>;
  /** Sinks that had everything when they last looked. */
  readonly idle: Set<string>;
  /** When it was last read, by `performance.now()`; undefined: what was read is acknowledged. */
  readAt: number | undefined;
}

/** The shards that this process reads. */
export interface OwnShards {
  readonly id: string;
  /** Those whose lease is good. */
  all(): readonly OwnShard[];
  /** Entries that wait in these, and in those of all processes. */
  waiting(): number;
  waitingInAll(): number;
  /** Another one reads it now, or nobody knows. */
  lost(shard: OwnShard): void;
  /** What is remembered may not hold any more: Redis was away, or is another one. */
  forget(): void;
  /** Finds out who is there, keeps what is this process's own, takes and gives. Rejects when nobody could be asked. */
  meet(): Promise<void>;
  /** Gives up everything, so that others need not wait for the leases to end. */
  leave(): Promise<void>;
}

export interface OwnShardsParts {
  readonly shards: readonly OutboxShard[];
  readonly sinks: readonly string[];
  readonly scripts: OutboxScripts;
  readonly run: (call: ScriptCall) => Promise<ScriptAnswer>;
}

/** `leaseMs`: how long a process that died still counts as a reader. */
export function createOwnShards(parts: OwnShardsParts, { leaseMs }: { readonly leaseMs: number }): OwnShards {
  const { shards, sinks, scripts, run } = parts;
  const id = randomUUID();
  const own = new Map<OutboxShard, OwnShard & { goodUntil: number }>();
  const first = shards[0] as OutboxShard;
  const members = `${first.outbox}:members`;
  const assign = createAssignment(shards.length);
  let waitingElsewhere = 0;

  function all(): readonly OwnShard[] {
    const now = performance.now();
    return [...own.values()].filter(({ goodUntil }) => now < goodUntil);
  }

  // Asked at each request where requests are refused when too many wait.
  function waiting(): number {
    const now = performance.now();
    let sum = 0;
    for (const { length, goodUntil } of own.values()) if (now < goodUntil) sum += length;
    return sum;
  }

  function readerOf(shard: OutboxShard): string {
    return `${shard.outbox}:reader`;
  }

  async function claim(shard: OutboxShard): Promise<void> {
    const askedAt = performance.now();
    const keys = [readerOf(shard), `${shard.outbox}:delivered`, shard.outbox];
    const args = [id, String(leaseMs), ...sinks];
    const [taken, , length, ...marks] = await run({ script: scripts.claim, slot: shard.slot, keys, args });
    if (taken === 0) return void own.delete(shard);
    const goodUntil = askedAt + 0.8 * leaseMs;
    const known = own.get(shard);
    if (known !== undefined) {
      known.goodUntil = goodUntil;
      known.length = Number(length);
      return;
    }
    const had = sinks.map((sink, index) => [sink, String(marks[index] ?? "")] as const);
    own.set(shard, {
      ...shard,
      length: Number(length),
      goodUntil,
      marks: new Map(had),
      idle: new Set(),
      readAt: undefined,
    });
  }

  /** What is on its way to a sink would be sent again by the next reader. */
  function isBusy({ readAt }: OwnShard): boolean {
    return readAt !== undefined && performance.now() - readAt < leaseMs;
  }

  async function release(shard: OutboxShard): Promise<void> {
    own.delete(shard);
    await run({ script: scripts.release, slot: shard.slot, keys: [readerOf(shard)], args: [id] });
  }

  return {
    id,
    all,
    waiting,
    waitingInAll: () => waiting() + waitingElsewhere,
    lost: (shard) => void own.delete(shards.find(({ outbox }) => outbox === shard.outbox) as OutboxShard),
    forget: () => own.clear(),
    async meet() {
      const args = [id, String(leaseMs), String(waiting())];
      const answer = await run({ script: scripts.meet, slot: first.slot, keys: [members], args });
      const names: string[] = [];
      waitingElsewhere = 0;
      for (let i = 2; i < answer.length; i += 2) {
        names.push(String(answer[i]));
        if (answer[i] !== id) waitingElsewhere += Number(answer[i + 1]);
      }
      const mine = assign(names, id);
      const work = shards.flatMap((shard, index) => {
        const held = own.get(shard);
        if (mine.has(index) || (held && isBusy(held))) return [claim(shard)];
        return held ? [release(shard)] : [];
      });
      await Promise.allSettled(work);
    },
    async leave() {
      const last = run({ script: scripts.leave, slot: first.slot, keys: [members], args: [id] });
      await Promise.allSettled([last, ...[...own.keys()].map(release)]);
    },
  };
}

/**
 * Says which shards are whose: each goes to the reader with the highest score for it, so that few change hands when one comes
 * or goes. Readers that agree on who is there agree on this.
 */
function createAssignment(shards: number): (names: readonly string[], own: string) => ReadonlySet<number> {
  let known = "";
  let mine: ReadonlySet<number> = new Set();
  return (names, own) => {
    const sorted = names.toSorted();
    if (sorted.join() === known) return mine;
    known = sorted.join();
    mine = new Set(
      Array.from({ length: shards }, (_, index) => index).filter((index) => winner(sorted, index) === own),
    );
    return mine;
  };
}

function winner(names: readonly string[], index: number): string | undefined {
  const scores = names.map((name) => ({ name, score: hash("sha1", `${index} ${name}`) }));
  return scores.toSorted((a, b) => (a.score < b.score ? 1 : -1))[0]?.name;
}
