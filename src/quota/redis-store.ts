import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import { createQuotaCalls, type RedisQuotaState } from "./redis-calls.js";
import { type ActorKeys, createQuotaKeys } from "./redis-keys.js";
import { createReaper } from "./redis-reaper.js";
import { addRule, addUsed, namedStates, readReservation, stateAt, windowArg } from "./redis-words.js";
import { Answer } from "./scripts.js";
import type { QuotaStore, Renewal, Reservation, SettleCall, Settlement } from "./store.js";
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

export interface RedisQuotaStore extends QuotaStore {
  state(): RedisQuotaState;
}

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
  const keys = createQuotaKeys(prefix);
  const calls = createQuotaCalls(
    { redis, keys, log, onState: (state) => onState?.(state) },
    { timeoutMs, maxInFlight, leaseMs, rememberMs, maxCounters },
  );
  const told = outbox ? "1" : "0";
  const reaper = createReaper({ ...calls, keys }, { told });

  async function finish(call: Omit<SettleCall, "used">, used?: SettleCall["used"]): Promise<Settlement> {
    const { requestId, outcome } = call;
    const actor = keys.of(call.actor);
    const entry = JSON.stringify({ id: requestId, actor: call.actor });
    const args = [told, actor.hash, requestId, entry, outcome];
    if (used !== undefined) addUsed(args, used);
    const script = used === undefined ? "refund" : "commit";
    const answer = await calls.runBefore(call.deadlineAt, script, actor, args);
    if (answer[0] === Answer.late) return late;
    if (answer[0] === Answer.gone) return gone;
    return { kind: "settled", states: namedStates(answer) };
  }

  function renew(actor: ActorKeys, holds: readonly Renewal[]): Promise<unknown> {
    const args = holds.flatMap(({ requestId, reached }) => [requestId, reached ? "1" : "0"]);
    return calls.runFor(actor, "renew", [actor.hash, ...args]);
  }

  return {
    tellsOutbox: outbox,
    now: calls.now,
    state: calls.state,
    async reserve(call): Promise<Reservation> {
      const { requestId, rules, intent } = call;
      const actor = keys.of(call.actor);
      const entry = JSON.stringify({ id: requestId, actor: call.actor, intent: store.textOf(intent) });
      const args = [told, actor.hash, requestId, entry];
      for (const rule of rules) addRule(args, rule);
      return readReservation(await calls.runBefore(call.deadlineAt, "reserve", actor, args), rules);
    },
    commit: (call) => finish(call, call.used),
    refund: (call) => finish(call),
    async renew(holds) {
      await allOf([...groupByActor(holds)].map(([actor, own]) => renew(keys.of(actor), own)));
    },
    reap: (max) => reaper.reap(max),
    async usage(name, rules) {
      const actor = keys.of(name);
      const asked = rules.flatMap((rule) => [rule.key, windowArg(rule)]);
      const answer = await calls.runFor(actor, "usage", [told, actor.hash, ...asked]);
      return rules.map((rule, index) => stateAt(rule, answer, 2 + 3 * index));
    },
    async reset(name, ruleKeys) {
      const actor = keys.of(name);
      const answer = await calls.runFor(actor, "reset", [told, actor.hash, ...ruleKeys]);
      const used = ruleKeys.map((key, index) => [key, Number(answer[index + 2])] as const);
      return Object.fromEntries(used.filter(([, units]) => units >= 0));
    },
    async close() {
      calls.stop();
    },
  };
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

/** Waits for all, also when one fails. */
async function allOf(work: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(work)) if (outcome.status === "rejected") throw outcome.reason;
}
