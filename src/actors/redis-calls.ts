// What the Redis store of actors asks of Redis, each one script.

import { randomInt, randomUUID } from "node:crypto";
import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import { RedisAwayError } from "../lib/redis-errors.js";
import type { ServerState } from "../lib/redis-lane.js";
import { defineScript, type Script, type ScriptAnswer } from "../lib/redis-runs.js";
import { createScriptRunner } from "../lib/redis-scripts.js";
import { type ActorStoreKeys, actorsSlot } from "./redis-keys.js";
import { type ActorScriptName, Answer, actorScripts, recordKinds } from "./scripts.js";
import { type ActorStore, type Lease, LeaseLostError, type StoreRecord } from "./store.js";

export interface RedisCalls extends Pick<ActorStore, "now" | "acquire" | "holder" | "take" | "keep"> {
  /** Runs a script about records without a lease. Rejects with what went wrong. */
  records(script: ActorScriptName, args: readonly string[]): Promise<ScriptAnswer>;
  /** Resolves to the number of the last change. With `onlyAbsent` what is there stays. */
  put(records: readonly StoreRecord[], lease?: Lease, options?: { readonly onlyAbsent?: boolean }): Promise<number>;
  /** Names the data unless somebody else has the lease of this name; tells its name, or nothing. */
  begin(era: string, name: string, lease?: Lease): Promise<string>;
  /** Has what is kept for good kept again by a Redis that lost it. */
  keepAgain(): Promise<void>;
  publish(channel: string, message: string): void;
  /** Arguments of the script that removes what has expired. */
  expireArgs(): readonly string[];
  servers(): readonly ServerState[];
  /** Says what is no outage: wrong data under one of our keys, or a fault in a script. */
  note(error: unknown): void;
  stop(): void;
}

export interface RedisCallsParts {
  readonly redis: RedisConnection;
  readonly keys: ActorStoreKeys;
  readonly log: Pick<Log, "error"> | undefined;
  readonly onChange: () => void;
}

/** When a caller may ask again while Redis is away. */
const retryAfterMs = 1_000;
/** Most records that expire in one run of the script. */
const maxExpired = 100;

export function createRedisCalls(
  { redis, keys, log, onChange }: RedisCallsParts,
  { timeoutMs, maxChanges }: { readonly timeoutMs: number; readonly maxChanges: number },
): RedisCalls {
  const scripts = Object.fromEntries(
    Object.entries(actorScripts({ maxChanges })).map(([name, text]) => [name, defineScript(text)]),
  ) as Record<ActorScriptName, Script>;
  const callOf = (name: ActorScriptName, of: readonly string[], args: readonly string[]) => ({
    script: scripts[name],
    slot: actorsSlot,
    keys: of,
    args,
  });
  const probe = () => callOf("read", keys.records, ["", "0"]);
  const runner = createScriptRunner(
    { redis, scripts: Object.values(scripts), slots: [actorsSlot], probe, onChange },
    { timeoutMs },
  );
  /** What was asked to be kept. */
  const kept = new Map<string, string>();
  /** What is kept under a lease's key, by lease. */
  const values = new WeakMap<Lease, string>();
  const nonce = (): string => String(randomInt(2 ** 32));
  const now = (): number => runner.clockOf(actorsSlot).now();
  /** Not after we stopped waiting: nothing happens later. */
  const deadline = (): string => String(now() + timeoutMs);

  function note(error: unknown): void {
    if (!(error instanceof RedisAwayError)) log?.error({ error }, "script of the actor store failed");
  }

  async function run(name: ActorScriptName, of: readonly string[], args: readonly string[]): Promise<ScriptAnswer> {
    let cause: unknown;
    try {
      const answer = await runner.run(callOf(name, of, args));
      if (answer[0] !== Answer.late) return answer;
    } catch (error) {
      note(error);
      cause = error;
    }
    throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", "actor store is unavailable", retryAfterMs, { cause });
  }

  function leaseOf(name: string, value: string, ttlMs: number): Lease {
    const key = [keys.lease(name)];
    const lease: Lease = {
      name,
      extend: async () => (await run("extend", key, [value, String(ttlMs)]))[2] === 1,
      release: async () => void (await run("release", key, [value])),
    };
    values.set(lease, value);
    return lease;
  }

  async function keep(name: string, value: string): Promise<string> {
    const args = [deadline(), value, kept.get(name) === value ? "1" : "0"];
    const answer = String((await run("keep", [keys.kept(name), keys.era], args))[2]);
    kept.set(name, answer);
    return answer;
  }

  return {
    now,
    note,
    records: (name, args) => runner.run(callOf(name, keys.records, args)),
    servers: runner.servers,
    stop: runner.stop,
    expireArgs: () => [nonce(), keys.changed, String(maxExpired)],
    async put(records, lease, { onlyAbsent = false } = {}) {
      const value = lease === undefined ? "" : (values.get(lease) ?? "another store's");
      const of = lease === undefined ? keys.records : [...keys.records, keys.lease(lease.name)];
      const args = [deadline(), nonce(), keys.changed, value, onlyAbsent ? "1" : "0", ...recordArgs(records)];
      const answer = await run("write", of, args);
      if (answer[0] === Answer.lost) throw new LeaseLostError(lease?.name ?? "");
      return Number(answer[2]);
    },
    async begin(era, name, lease) {
      const value = lease === undefined ? "" : (values.get(lease) ?? "");
      return String((await run("begin", [...keys.records, keys.lease(name)], [value, era]))[2]);
    },
    async acquire(name, { ttlMs, holder }) {
      const value = `${randomUUID()} ${holder}`;
      const answer = await run("acquire", [keys.lease(name)], [deadline(), value, String(ttlMs)]);
      return answer[2] === 1 ? leaseOf(name, value, ttlMs) : undefined;
    },
    async holder(name) {
      const value = String((await run("holder", [keys.lease(name)], []))[2]);
      return value === "" ? undefined : value.slice(value.indexOf(" ") + 1);
    },
    async take(name, { perSecond, burst }) {
      const args = [deadline(), String(perSecond), String(burst)];
      return (await run("take", [keys.permits(name)], args))[2] === 1;
    },
    keep,
    async keepAgain() {
      for (const [name, value] of kept) await keep(name, value);
    },
    publish(channel, message) {
      runner.run(callOf("publish", [keys.changed], [channel, message])).catch(note);
    },
  };
}

/** Of several records of one key, the last. */
function recordArgs(records: readonly StoreRecord[]): readonly string[] {
  const last = new Map<string, readonly string[]>();
  for (const { kind, key, value, expiresAt = 0 } of records) {
    const number = String(recordKinds.indexOf(kind) + 1);
    const name = `${number} ${key}`;
    // In the order of the later ones.
    last.delete(name);
    last.set(name, [number, key, value === undefined ? "" : `${Math.ceil(expiresAt)} ${value}`]);
  }
  return [...last.values()].flat();
}
