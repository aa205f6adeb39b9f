// Stores of actors on Redis, followed.

import { randomUUID } from "node:crypto";
import {
  createRedisActorStore,
  type RedisActorStore,
  type RedisActorStoreOptions,
} from "../../src/actors/redis-store.js";
import { connectRedis } from "../../src/lib/redis.js";
import { recordingLog } from "./log.js";
import { until } from "./redis.js";
import { type RecordingListener, recordingListener } from "./store-listener.js";

export interface OpenActorStore extends AsyncDisposable {
  readonly store: RedisActorStore;
  /** Follows, unless told not to. */
  readonly listener: RecordingListener;
  readonly log: ReturnType<typeof recordingLog>;
  readonly prefix: string;
}

export interface OpenActorStoreOptions extends RedisActorStoreOptions {
  /** Default true. */
  readonly follows?: boolean;
  /** Whether to wait until the server answered. Default true. */
  readonly waits?: boolean;
}

/** A late answer is no fault, unless a test is about that. */
const patientMs = 10_000;

/** A store with connections and, by default, keys of its own, as a process has it. */
export async function openActorStore(
  endpoint: string,
  {
    follows = true,
    waits = true,
    prefix = `${randomUUID()}:`,
    timeoutMs = patientMs,
    ...options
  }: OpenActorStoreOptions = {},
): Promise<OpenActorStore> {
  const log = recordingLog();
  const redis = connectRedis(endpoint, "actors");
  const messages = connectRedis(endpoint, "messages");
  const store = createRedisActorStore({ redis, messages, log }, { prefix, timeoutMs, ...options });
  const listener = recordingListener();
  if (waits) await until(async () => store.state().up);
  if (follows) await store.follow(listener);
  return {
    store,
    listener,
    log,
    prefix,
    async [Symbol.asyncDispose]() {
      await store.close();
      await Promise.all([redis.close(), messages.close()]);
    },
  };
}
