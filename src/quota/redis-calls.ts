// Runs of the quota scripts: on the server of an actor, within its time, by its clock.

import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import { RedisAwayError } from "../lib/redis-errors.js";
import type { ServerState } from "../lib/redis-lane.js";
import { defineScript, type Script, type ScriptAnswer, type ScriptCall } from "../lib/redis-runs.js";
import { createScriptRunner } from "../lib/redis-scripts.js";
import { createRedisContact } from "./redis-contact.js";
import type { ActorKeys, QuotaKeys, Shard } from "./redis-keys.js";
import { Answer, quotaScripts, type ScriptSettings } from "./scripts.js";

/** How the store is, for readiness and metrics. */
export interface RedisQuotaState {
  /** Whether every server is asked: all answered once, and of late. */
  readonly up: boolean;
  readonly servers: readonly ServerState[];
}

/** Names of scripts. */
export type QuotaScriptName = keyof ReturnType<typeof quotaScripts>;

/** All throw `UnavailableError` when Redis does not answer in time. */
export interface QuotaCalls {
  readonly scripts: Readonly<Record<QuotaScriptName, Script>>;
  run(call: ScriptCall): Promise<ScriptAnswer>;
  /** Runs a script on an actor's keys. */
  runFor(actor: ActorKeys, script: QuotaScriptName, args: readonly string[]): Promise<ScriptAnswer>;
  /** The same with one whose first argument is a deadline. */
  runBefore(
    deadlineAt: number,
    script: QuotaScriptName,
    actor: ActorKeys,
    args: readonly string[],
  ): Promise<ScriptAnswer>;
  /** What the scripts of a slot are told first: how Redis was heard of. */
  heard(slot: number): string;
  now(): number;
  state(): RedisQuotaState;
  stop(): void;
}

export interface QuotaCallsParts {
  readonly redis: RedisConnection;
  readonly keys: QuotaKeys;
  readonly log: Pick<Log, "error"> | undefined;
  /** A server is asked again or no more. */
  readonly onState: (state: RedisQuotaState) => void;
}

export interface QuotaCallsOptions extends Omit<ScriptSettings, "silentMs"> {
  readonly timeoutMs: number;
  readonly maxInFlight: number;
}

/** When a caller may ask again while Redis is away. */
const retryAfterMs = 1_000;

/** Scripts made for these settings, ready to be run. */
export function createQuotaCalls(
  { redis, keys, log, onState }: QuotaCallsParts,
  { timeoutMs, maxInFlight, ...settings }: QuotaCallsOptions,
): QuotaCalls {
  const silentMs = silentAfterMs(settings.leaseMs);
  const scripts = mapValues(quotaScripts({ ...settings, silentMs }), defineScript);
  const runner = createScriptRunner(
    {
      redis,
      scripts: Object.values(scripts),
      slots: keys.shards.map(({ slot }) => slot),
      probe: (slot) => probeOf(slot),
      onChange: () => onState(state()),
    },
    { timeoutMs, maxInFlight, silentMs },
  );
  const contact = createRedisContact({ runner });
  const referenceSlot = keys.shards[0]?.slot ?? 0;

  function callOf(
    script: QuotaScriptName,
    { shard, keys: names }: ActorKeys,
    args: readonly string[],
    firstArgs = (): readonly string[] => [contact.heard(shard.slot)],
  ): ScriptCall {
    return { script: scripts[script], slot: shard.slot, keys: names, args, firstArgs };
  }

  /** Runs a script whose first argument is a deadline. */
  async function runBefore(
    deadlineAt: number,
    script: QuotaScriptName,
    actor: ActorKeys,
    args: readonly string[],
  ): Promise<ScriptAnswer> {
    const firstArgs = () => [contact.heard(actor.shard.slot), deadline(actor, deadlineAt)];
    const call = callOf(script, actor, args, firstArgs);
    const startedAt = performance.now();
    const answer = await run(call);
    // Nothing was done. Where that came soon, the server's clock is not where we thought it is: now we know.
    if (answer[0] !== Answer.late || performance.now() - startedAt > timeoutMs / 2) return answer;
    return run(call);
  }

  /** Of some actor of the slot, and too late. */
  function probeOf(slot: number): ScriptCall {
    const { keys: names } = keys.inShard(keys.shards.find((shard) => shard.slot === slot) as Shard, "probe");
    return { script: scripts.reserve, slot, keys: names, args: ["none", "0", "0", "", "", ""] };
  }

  async function run(call: ScriptCall): Promise<ScriptAnswer> {
    try {
      const answer = await runner.run(call);
      if (call.firstArgs !== undefined && answer[0] !== Answer.late) contact.answered(call.slot);
      return answer;
    } catch (error) {
      // What Redis refuses for another reason is no outage: wrong data under one of our keys, or a fault in a script.
      if (!(error instanceof RedisAwayError)) log?.error({ error }, "quota script failed");
      const message = "quota store is unavailable";
      throw new UnavailableError("QUOTA_STORE_UNAVAILABLE", message, retryAfterMs, { cause: error });
    }
  }

  function now(): number {
    return runner.clockOf(referenceSlot).now();
  }

  /** A deadline by the clock of the server that is asked, and not after we stopped waiting: nothing happens later. */
  function deadline(actor: ActorKeys, deadlineAt: number): string {
    const leftMs = Math.min(deadlineAt - now(), timeoutMs);
    return String(Math.floor(runner.clockOf(actor.shard.slot).latest() + leftMs));
  }

  function state(): RedisQuotaState {
    const servers = runner.servers();
    return { up: servers.length > 0 && servers.every(({ up }) => up), servers };
  }

  return {
    scripts,
    run,
    runFor: (actor, script, args) => run(callOf(script, actor, args)),
    runBefore,
    heard: contact.heard,
    now,
    state,
    stop: runner.stop,
  };
}

/** Two renewals must fail before a lease can end. What is quiet is asked the time every two seconds. */
function silentAfterMs(leaseMs: number): number {
  return Math.max(leaseMs / 2, 3_000);
}

function mapValues<K extends string, V, R>(record: Readonly<Record<K, V>>, map: (value: V) => R): Record<K, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value as V)])) as Record<K, R>;
}
