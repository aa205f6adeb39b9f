import type { Log } from "../lib/log.js";
import type { RedisConnection } from "../lib/redis.js";
import type { ServerState } from "../lib/redis-lane.js";
import { createRedisCalls } from "./redis-calls.js";
import { createFollower } from "./redis-follower.js";
import { createActorStoreKeys } from "./redis-keys.js";
import { createMessages } from "./redis-messages.js";
import { createRestore, restoreLease } from "./redis-restore.js";
import { type ActorStore, checkRecords } from "./store.js";

export interface RedisActorStoreParts {
  /** For this store alone. The store does not close it. */
  readonly redis: RedisConnection;
  /** A second one, that messages are listened to on. */
  readonly messages: RedisConnection;
  readonly log?: Pick<Log, "warn" | "error">;
  /** The server is asked again or no more. Must not throw. */
  readonly onState?: (state: RedisActorStoreState) => void;
}

export interface RedisActorStoreOptions {
  /** Of all keys. Default `cody-gateway:`. */
  readonly prefix?: string;
  /** How long a call may take. Default 1 s. */
  readonly timeoutMs?: number;
  /**
   * About how many changes, each of 10 records at most, are kept for processes that follow: who is behind more reads
   * everything. Default 4,000.
   */
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

/** A store of actors for any number of processes, on one server, behind Sentinels, or on a Cluster. Needs Redis 7.0. */
export function createRedisActorStore(
  { redis, messages, log, onState }: RedisActorStoreParts,
  { prefix = "cody-gateway:", timeoutMs = 1_000, maxChanges = 4_000 }: RedisActorStoreOptions = {},
): RedisActorStore {
  const keys = createActorStoreKeys(prefix);
  const onChange = (): void => onState?.(state());
  const calls = createRedisCalls({ redis, keys, log, onChange }, { timeoutMs, maxChanges });
  const { now, acquire, holder, take, keep, publish } = calls;
  const restore = createRestore({
    acquire,
    isLost: async () => (await calls.records("read", ["", "0"]))[4] === "",
    keepAgain: calls.keepAgain,
    fill: async (records, lease) => void (await calls.put(records, lease, { onlyAbsent: true })),
    begin: (era, lease) => calls.begin(era, restoreLease, lease),
    onRestored: (records) => log?.warn({ records }, "Redis had lost what is known of actors; it was written again"),
  });
  const { records: run, expireArgs, note: onProblem } = calls;
  const follower = createFollower({ run, expireArgs, restore, onProblem });
  const listening = createMessages({
    redis: messages,
    publish,
    own: keys.channel("alive:"),
    onUnread: (channel, error) => log?.warn({ channel, err: error }, "a message of another process cannot be read"),
  });
  listening.subscribe(keys.changed, () => follower.wake());
  redis.onReady(() => follower.wake());

  function state(): RedisActorStoreState {
    const servers = calls.servers();
    return { up: servers.length > 0 && servers.every(({ up }) => up), servers };
  }

  return {
    now,
    acquire,
    holder,
    take,
    keep,
    state,
    follow: (listener) => follower.start(listener),
    async write(records, lease) {
      checkRecords(records);
      await follower.told(records, await calls.put(records, lease));
    },
    publish: (channel, message) => publish(keys.channel(channel), message),
    subscribe: (channel, listener) => listening.subscribe(keys.channel(channel), listener),
    async close() {
      listening.close();
      await follower.stop();
      calls.stop();
    },
  };
}
