// Reading the shards that this process is to read.

import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../lib/log.js";
import type { ScriptAnswer, ScriptCall } from "../lib/redis-runs.js";
import { abandonedEvent, type EventStart, type UsageEvent } from "./event.js";
import type { OutboxBatch } from "./outbox.js";
import type { OutboxScripts } from "./redis-outbox.js";
import type { OwnShard, OwnShards } from "./redis-shards.js";

export interface ShardReader {
  read(sink: string, max: number): Promise<OutboxBatch | undefined>;
  /** Drops about so many entries, the oldest of the longest shards, whoever does not have them. */
  discard(entries: number): Promise<void>;
}

export interface ShardReaderParts {
  readonly own: OwnShards;
  readonly sinks: readonly string[];
  readonly scripts: OutboxScripts;
  readonly run: (call: ScriptCall) => Promise<ScriptAnswer>;
  readonly log: Pick<Log, "error">;
  readonly onLost: (sink: string, events: number) => void;
}

/** What was found in one shard. */
interface Slice {
  readonly shard: OwnShard;
  readonly events: readonly UsageEvent[];
  /** Id of each event's entry. */
  readonly ids: readonly string[];
  /** The last entry looked at; empty: there was none. */
  readonly last: string;
}

/** Entries read or removed in one call: it must not keep requests waiting. */
const maxEntries = 200;
const minEntries = 20;
/** A request leaves two entries, of which one is an event. */
const entriesOfEvent = 2;
/** Attempts to say what a sink has, and the wait between two: what could not be said is delivered again. */
const attempts = 5;
const attemptMs = 200;

export function createShardReader(parts: ShardReaderParts): ShardReader {
  const { own, sinks, scripts, run, log, onLost } = parts;
  let turn = 0;

  /** Enough shards for so many events, each time from another one on. */
  function pick(sink: string, max: number): readonly OwnShard[] {
    const all = own.all().filter(({ length, idle }) => length > 0 && !idle.has(sink));
    const from = turn++ % Math.max(1, all.length);
    const picked: OwnShard[] = [];
    let entries = 0;
    for (const shard of [...all.slice(from), ...all.slice(0, from)]) {
      if (entries >= entriesOfEvent * max) break;
      picked.push(shard);
      entries += shard.length;
    }
    return picked;
  }

  async function scan(shard: OwnShard, sink: string, count: number): Promise<Slice> {
    const { slot, outbox, marks, idle } = shard;
    const args = [marks.get(sink) ?? "", String(count)];
    const [, , entries, last, ...found] = await run({ script: scripts.scan, slot, keys: [outbox], args });
    if (Number(entries) < count) idle.add(sink);
    if (Number(entries) > 0) shard.readAt = performance.now();
    const events: UsageEvent[] = [];
    const ids: string[] = [];
    for (let i = 0; i < found.length; i += 3) {
      const [id, kind, text] = found.slice(i, i + 3).map(String) as [string, string, string];
      try {
        events.push(readEntry(kind, text));
        ids.push(id);
      } catch (error) {
        log.error({ outbox, id, error }, "usage event cannot be read");
        onLost(sink, 1);
      }
    }
    return { shard, events, ids, last: String(last) };
  }

  async function scanAll(picked: readonly OwnShard[], sink: string, max: number): Promise<readonly Slice[]> {
    const count = Math.ceil((entriesOfEvent * max) / picked.length);
    const each = Math.min(maxEntries, Math.max(minEntries, count));
    const outcomes = await Promise.allSettled(picked.map((shard) => scan(shard, sink, each)));
    const slices = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (slices.length === 0 && failed !== undefined) throw failed.reason;
    return cut(slices, sink, max);
  }

  async function acknowledge(sink: string, { shard, last }: Slice): Promise<void> {
    const { slot, outbox } = shard;
    const others = sinks.filter((other) => other !== sink);
    const args = [own.id, last, sink, ...others];
    const call = { script: scripts.acknowledge, slot, keys: keysOf(outbox), args };
    const [done, , length] = await persistently(() => run(call));
    if (done === 0) return own.lost(shard);
    shard.marks.set(sink, last);
    shard.length = Number(length);
    shard.readAt = undefined;
  }

  async function acknowledgeAll(sink: string, slices: readonly Slice[]): Promise<void> {
    const outcomes = await Promise.allSettled(slices.map((slice) => acknowledge(sink, slice)));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  return {
    async read(sink, max) {
      for (;;) {
        const picked = pick(sink, max);
        if (picked.length === 0) return undefined;
        const slices = await scanAll(picked, sink, max);
        const events = slices.flatMap((slice) => slice.events);
        if (events.length > 0) return { events, acknowledge: () => acknowledgeAll(sink, slices) };
        // Only starts of requests.
        await acknowledgeAll(sink, slices);
      }
    },
    async discard(entries) {
      let left = entries;
      for (const shard of own.all().toSorted((a, b) => b.length - a.length)) {
        const { slot, outbox } = shard;
        for (let most = shard.length; most > 0 && left > 0; most -= maxEntries) {
          const count = Math.min(left, most, maxEntries);
          const args = [own.id, String(count), ...sinks];
          const [done, , length, last, ...lost] = await run({
            script: scripts.discard,
            slot,
            keys: keysOf(outbox),
            args,
          });
          if (done === 0) return own.lost(shard);
          shard.length = Number(length);
          left -= count;
          for (const [index, sink] of sinks.entries()) {
            shard.marks.set(sink, later(shard.marks.get(sink) ?? "", String(last)));
            if (Number(lost[index]) > 0) onLost(sink, Number(lost[index]));
          }
        }
      }
    },
  };
}

function keysOf(outbox: string): readonly string[] {
  return [`${outbox}:reader`, `${outbox}:delivered`, outbox];
}

/** At most so many events, and of each shard those from its beginning. */
function cut(slices: readonly Slice[], sink: string, max: number): readonly Slice[] {
  let left = max;
  return slices.flatMap((slice) => {
    const { shard, events, ids, last } = slice;
    if (last === "") return [];
    if (events.length <= left) {
      left -= events.length;
      return [slice];
    }
    shard.idle.delete(sink);
    const kept = left;
    left = 0;
    return kept === 0 ? [] : [{ shard, events: events.slice(0, kept), ids, last: ids[kept - 1] as string }];
  });
}

function readEntry(kind: string, text: string): UsageEvent {
  if (kind === "event") return JSON.parse(text) as UsageEvent;
  const { intent } = JSON.parse(text) as { intent: string };
  return abandonedEvent(JSON.parse(intent) as EventStart, kind === "charged");
}

async function persistently<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === attempts) throw error;
      await sleep(attemptMs, undefined, { ref: false });
    }
  }
}

/** The later of two entries' ids. */
function later(a: string, b: string): string {
  if (a === "" || b === "") return a || b;
  const [aMs = 0, aNumber = 0] = a.split("-").map(Number);
  const [bMs = 0, bNumber = 0] = b.split("-").map(Number);
  return aMs > bMs || (aMs === bMs && aNumber > bNumber) ? a : b;
}
