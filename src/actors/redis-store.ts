import { randomInt, randomUUID } from "node:crypto";
import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import { RedisAwayError } from "../lib/redis-errors.js";
import { createScriptRunner, defineScript, type ScriptAnswer, type ServerState } from "../lib/redis-scripts.js";
import { createFollower } from "./redis-follower.js";
import { actorsSlot, createActorStoreKeys } from "./redis-keys.js";
import { createMessages } from "./redis-messages.js";
import { Answer, actorScripts, recordKinds } from "./scripts.js";
import { type ActorStore, checkRecords, type Lease, LeaseLostError, type StoreRecord } from "./store.js";

export interface RedisActorStoreParts {
  /** For this store alone. The store does not close it. */
  readonly redis: RedisConnection;
  /** A second one, that messages are listened to on. */
  readonly messages: RedisConnection;
  readonly log?: Pick<Log, "error">;
  /** The server is asked again or no more. Must not throw. */
  readonly onState?: (state: RedisActorStoreState) => void;
}

export interface RedisActorStoreOptions {
  /** Of all keys. Default `cody-gateway:`. */
  readonly prefix?: string;
  /** How long a call may take. Default 500 ms. */
  readonly timeoutMs?: number;
  /** About how many changes are kept for processes that follow: who is behind more reads everything. Default 20,000. */
  readonly maxChanges?: number;
}

/** How the store is, for readiness and metrics. */
export interface RedisActorStoreState {
  /** Whether the server is asked: it answered once, and of late. */
  readonly up: boolean;
  readonly servers: readonly ServerState[];
}

export interface RedisActorStore extends ActorStore {
  state(): RedisActorStoreState;
}

/** When a caller may ask again while Redis is away. */
const retryAfterMs = 1_000;
/** Most records that expire in one run of the script. */
const maxExpired = 100;

/** A store of actors for any number of processes, on one server, behind Sentinels, or on a Cluster. Needs Redis 7.0. */
export function createRedisActorStore(
  { redis, messages, log, onState }: RedisActorStoreParts,
  { prefix = "cody-gateway:", timeoutMs = 500, maxChanges = 20_000 }: RedisActorStoreOptions = {},
): RedisActorStore {
  const texts = actorScripts({ maxChanges });
  const scripts = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, defineScript(text)])) as Record<
    keyof typeof texts,
    ReturnType<typeof defineScript>
  >;
  const keys = createActorStoreKeys(prefix);
  const callOf = (name: keyof typeof texts, of: readonly string[], args: readonly string[]) => ({
    script: scripts[name],
    slot: actorsSlot,
    keys: of,
    args,
  });
  const runner = createScriptRunner(
    {
      redis,
      scripts: Object.values(scripts),
      slots: [actorsSlot],
      probe: () => callOf("read", keys.records, ["", "0"]),
      onChange: () => onState?.(state()),
    },
    { timeoutMs },
  );
  const nonce = (): string => String(randomInt(2 ** 32));
  const follower = createFollower({
    run: (name, args) => runner.run(callOf(name, keys.records, args)),
    expireArgs: () => [nonce(), keys.changed, String(maxExpired)],
    onProblem: note,
  });
  const listening = createMessages({ redis: messages, publish, own: keys.channel("alive:") });
  listening.subscribe(keys.changed, () => follower.wake());
  redis.onReady(() => follower.wake());
  /** What the store keeps under a lease's key, by lease. */
  const values = new WeakMap<Lease, string>();

  /** What Redis refuses for another reason is no outage: wrong data under one of our keys, or a fault in a script. */
  function note(error: unknown): void {
    if (!(error instanceof RedisAwayError)) log?.error({ error }, "script of the actor store failed");
  }

  async function run(name: keyof typeof texts, of: readonly string[], args: readonly string[]): Promise<ScriptAnswer> {
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

  function now(): number {
    return runner.clockOf(actorsSlot).now();
  }

  /** Not after we stopped waiting: nothing happens later. */
  function deadline(): string {
    return String(now() + timeoutMs);
  }

  function publish(channel: string, message: string): void {
    runner.run(callOf("publish", [keys.changed], [channel, message])).catch(note);
  }

  function state(): RedisActorStoreState {
    const servers = runner.servers();
    return { up: servers.length > 0 && servers.every(({ up }) => up), servers };
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

  return {
    now,
    state,
    follow: (listener) => follower.start(listener),
    async write(records, lease) {
      checkRecords(records);
      const value = lease === undefined ? "" : (values.get(lease) ?? "another store's");
      const of = lease === undefined ? keys.records : [...keys.records, keys.lease(lease.name)];
      const args = [deadline(), nonce(), keys.changed, value, ...records.flatMap(recordArgs)];
      const answer = await run("write", of, args);
      if (answer[0] === Answer.lost) throw new LeaseLostError(lease?.name ?? "");
      await follower.told(records, Number(answer[2]));
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
    publish: (channel, message) => publish(keys.channel(channel), message),
    subscribe: (channel, listener) => listening.subscribe(keys.channel(channel), listener),
    async close() {
      listening.close();
      await follower.stop();
      runner.stop();
    },
  };
}

function recordArgs({ kind, key, value, expiresAt = 0 }: StoreRecord): readonly string[] {
  return [String(recordKinds.indexOf(kind) + 1), key, String(Math.ceil(expiresAt)), value ?? ""];
}
