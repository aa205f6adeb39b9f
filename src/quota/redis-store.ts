import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import { RedisAwayError } from "../lib/redis-errors.js";
import type { ServerState } from "../lib/redis-lane.js";
import { defineScript, type ScriptAnswer, type ScriptCall } from "../lib/redis-runs.js";
import { createScriptRunner } from "../lib/redis-scripts.js";
import { createRedisContact } from "./redis-contact.js";
import { type ActorKeys, createQuotaKeys, type Shard } from "./redis-keys.js";
import { createReaper } from "./redis-reaper.js";
import { Answer, quotaScripts } from "./scripts.js";
import type { QuotaStore, Renewal, Reservation, Rule, RuleState, SettleCall, Settlement } from "./store.js";
import * as store from "./store.js";

export interface RedisQuotaStoreParts {
  /** For this store alone. The store does not close it. */
  readonly redis: RedisConnection;
  readonly log?: Pick<Log, "info" | "warn" | "error">;
  /** A server is asked again or no more. Must not throw. */
  readonly onState?: (state: RedisQuotaState) => void;
}

export interface RedisQuotaStoreOptions {
  /** Of all keys. Default `cody-gateway:`. */
  readonly prefix?: string;
  /** How long a call may take. Default 100 ms. */
  readonly timeoutMs?: number;
  /** Most commands without an answer on one connection. Default 2,000. */
  readonly maxInFlight?: number;
  /** How long a hold lives without being renewed. Default 30 s. */
  readonly leaseMs?: number;
  /** How long a request id stays known after its hold was settled. Default 10 min. */
  readonly rememberMs?: number;
  /** Most counters of an actor before new members share that of their group. Default 20,000. */
  readonly maxCounters?: number;
  /** Whether what becomes of requests is written to the outbox streams, for whoever reads and trims them. Default true. */
  readonly outbox?: boolean;
}

/** How the store is, for readiness and metrics. */
export interface RedisQuotaState {
  /** Whether every server is asked: all answered once, and of late. */
  readonly up: boolean;
  readonly servers: readonly ServerState[];
}

export interface RedisQuotaStore extends QuotaStore {
  state(): RedisQuotaState;
}

/** When a caller may ask again while Redis is away. */
const retryAfterMs = 1_000;

const late = { kind: "late" } as const;
const gone = { kind: "gone" } as const;

/**
 * A quota store for any number of processes, on one server, behind Sentinels, or on a Cluster. Each call is one script, hence
 * one round trip; what is under way at the same time shares the connection. Needs Redis 7.0.
 */
export function createRedisQuotaStore(
  { redis, log, onState }: RedisQuotaStoreParts,
  {
    prefix = "cody-gateway:",
    timeoutMs = 100,
    maxInFlight = 2_000,
    leaseMs = store.leaseMs,
    rememberMs = store.rememberMs,
    maxCounters = store.maxCounters,
    outbox = true,
  }: RedisQuotaStoreOptions = {},
): RedisQuotaStore {
  const silentMs = silentAfterMs(leaseMs);
  const scripts = mapValues(quotaScripts({ leaseMs, rememberMs, silentMs, maxCounters }), defineScript);
  const keys = createQuotaKeys(prefix);
  const runner = createScriptRunner(
    {
      redis,
      scripts: Object.values(scripts),
      slots: keys.shards.map(({ slot }) => slot),
      probe: (slot) => probeOf(slot),
      onChange: () => onState?.(state()),
    },
    { timeoutMs, maxInFlight, silentMs },
  );
  const contact = createRedisContact({ runner });
  const referenceSlot = keys.shards[0]?.slot ?? 0;
  const told = outbox ? "1" : "0";
  const reaper = createReaper({ keys, scripts, run, heard: contact.heard }, { told });

  function callOf(
    script: keyof typeof scripts,
    { shard, keys: names }: ActorKeys,
    args: readonly string[],
    firstArgs = (): readonly string[] => [contact.heard(shard.slot)],
  ): ScriptCall {
    return { script: scripts[script], slot: shard.slot, keys: names, args, firstArgs };
  }

  /** Runs a script whose first argument is a deadline. */
  async function runBefore(
    deadlineAt: number,
    script: keyof typeof scripts,
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

  async function finish(call: Omit<SettleCall, "used">, used?: SettleCall["used"]): Promise<Settlement> {
    const { requestId, outcome } = call;
    const actor = keys.of(call.actor);
    const entry = JSON.stringify({ id: requestId, actor: call.actor });
    const args = [told, actor.hash, requestId, entry, outcome];
    if (used !== undefined) addUsed(args, used);
    const script = used === undefined ? "refund" : "commit";
    const answer = await runBefore(call.deadlineAt, script, actor, args);
    if (answer[0] === Answer.late) return late;
    if (answer[0] === Answer.gone) return gone;
    return { kind: "settled", states: namedStates(answer) };
  }

  function state(): RedisQuotaState {
    const servers = runner.servers();
    return { up: servers.length > 0 && servers.every(({ up }) => up), servers };
  }

  return {
    tellsOutbox: outbox,
    now,
    state,
    async reserve(call): Promise<Reservation> {
      const { requestId, rules, intent } = call;
      const actor = keys.of(call.actor);
      const entry = JSON.stringify({ id: requestId, actor: call.actor, intent: store.textOf(intent) });
      const args = [told, actor.hash, requestId, entry];
      for (const rule of rules)
        args.push(rule.key, String(rule.limit), windowArg(rule), rule.kind === "in_flight" ? "1" : String(rule.amount));
      return readReservation(await runBefore(call.deadlineAt, "reserve", actor, args), rules);
    },
    commit: (call) => finish(call, call.used),
    refund: (call) => finish(call),
    async renew(holds) {
      const calls = [...groupByActor(holds)].map(([actor, own]) => renewal(keys.of(actor), own));
      await allOf(calls.map(run));
    },
    reap: (max) => reaper.reap(max),
    async usage(name, rules) {
      const actor = keys.of(name);
      const asked = rules.flatMap((rule) => [rule.key, windowArg(rule)]);
      const answer = await run(callOf("usage", actor, [told, actor.hash, ...asked]));
      return rules.map((rule, index) => stateAt(rule, answer, 2 + 3 * index));
    },
    async reset(name, ruleKeys) {
      const actor = keys.of(name);
      const answer = await run(callOf("reset", actor, [told, actor.hash, ...ruleKeys]));
      const used = ruleKeys.map((key, index) => [key, Number(answer[index + 2])] as const);
      return Object.fromEntries(used.filter(([, units]) => units >= 0));
    },
    async close() {
      runner.stop();
    },
  };

  function renewal(actor: ActorKeys, holds: readonly Renewal[]) {
    const args = holds.flatMap(({ requestId, reached }) => [requestId, reached ? "1" : "0"]);
    return callOf("renew", actor, [actor.hash, ...args]);
  }
}

/** Two renewals must fail before a lease can end. What is quiet is asked the time every two seconds. */
function silentAfterMs(leaseMs: number): number {
  return Math.max(leaseMs / 2, 3_000);
}

function groupByActor(holds: readonly Renewal[]): ReadonlyMap<string, readonly Renewal[]> {
  const byActor = new Map<string, Renewal[]>();
  for (const hold of holds) {
    const own = byActor.get(hold.actor) ?? [];
    own.push(hold);
    byActor.set(hold.actor, own);
  }
  return byActor;
}

function readReservation(answer: ScriptAnswer, rules: readonly Rule[]): Reservation {
  switch (answer[0]) {
    case Answer.late:
      return late;
    case Answer.seen:
      return { kind: "admitted", states: namedStates(answer) };
    case Answer.refused: {
      const rule = rules[Number(answer[2])] as Rule;
      return { kind: "refused", state: stateAt(rule, answer, 3), retryAt: Number(answer[6]) };
    }
    default:
      return { kind: "admitted", states: rules.map((rule, index) => stateAt(rule, answer, 2 + 3 * index)) };
  }
}

/** What stands from `at`: used, held, resetAt. */
function stateAt({ key, limit }: Pick<Rule, "key" | "limit">, answer: ScriptAnswer, at: number): RuleState {
  const resetAt = Number(answer[at + 2]);
  return { key, used: Number(answer[at]), held: Number(answer[at + 1]), limit, resetAt: resetAt || undefined };
}

/** States that bring along what they are of: key, limit, used, held, resetAt. */
function namedStates(answer: ScriptAnswer): RuleState[] {
  return Array.from({ length: (answer.length - 2) / 5 }, (_, index) => {
    const at = 2 + 5 * index;
    return stateAt({ key: answer[at] as string, limit: Number(answer[at + 1]) }, answer, at + 2);
  });
}

function windowArg(rule: Rule): string {
  return rule.kind === "in_flight" ? "0" : String(rule.windowMs);
}

/** Adds to the arguments of a settlement what was used. */
function addUsed(args: string[], used: SettleCall["used"]): void {
  for (const key of Object.keys(used)) {
    const units = used[key] ?? Number.NaN;
    // What is no amount is not told: then what was held is charged.
    if (units >= 0) args.push(key, String(Math.min(units, Number.MAX_SAFE_INTEGER)));
  }
}

/** Waits for all, also when one fails. */
async function allOf(work: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(work)) if (outcome.status === "rejected") throw outcome.reason;
}

function mapValues<K extends string, V, R>(record: Readonly<Record<K, V>>, map: (value: V) => R): Record<K, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value as V)])) as Record<K, R>;
}
