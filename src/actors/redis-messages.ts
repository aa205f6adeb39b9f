// Messages between processes over Redis' publish and subscribe, on a connection of their own.

import { randomUUID } from "node:crypto";
import type { RedisConnection } from "../lib/redis.js";

export interface Messages {
  /** Calls back with each message from now on; returns how to stop. */
  subscribe(channel: string, listener: (message: string) => void): () => void;
  close(): void;
}

export interface MessagesParts {
  /** For this alone: a connection that listens takes no other calls. */
  readonly redis: RedisConnection;
  readonly publish: (channel: string, message: string) => void;
  /** A channel of this process' own. */
  readonly own: string;
  /** A listener threw: a version of the gateway that it does not know may have published the message. Must not throw. */
  readonly onUnread: (channel: string, error: unknown) => void;
}

/** Time between two messages to oneself. */
const aliveMs = 500;
/** So long without hearing oneself: Redis may not know who listens. */
const unheardMs = 900;
/** So long: the connection is dead. */
const deafMs = 3_000;

/**
 * Keeps listening over lost connections. A connection that only listens does not notice when the other end is gone, so it
 * sends messages to itself, and connects anew when they do not come back.
 */
export function createMessages({ redis, publish, own, onUnread }: MessagesParts): Messages {
  const listeners = new Map<string, Set<(message: string) => void>>();
  const { client } = redis;
  const heartbeat = `${own}${randomUUID()}`;
  let heardAt = performance.now();

  /** Asks for all channels: those that are listened to already do not mind. Fails while there is no connection. */
  function listen(): void {
    client.subscribe(...listeners.keys()).catch(() => undefined);
  }

  function subscribe(channel: string, given: (message: string) => void): () => void {
    // The same function may be given twice: each is a listener of its own.
    const listener = (message: string): void => given(message);
    const all = listeners.get(channel) ?? new Set();
    listeners.set(channel, all.add(listener));
    listen();
    return () => {
      all.delete(listener);
      if (all.size > 0 || listeners.get(channel) !== all) return;
      listeners.delete(channel);
      client.unsubscribe(channel).catch(() => undefined);
    };
  }

  client.on("message", (channel: string, message: string) => {
    for (const listener of listeners.get(channel) ?? []) {
      try {
        listener(message);
      } catch (error) {
        onUnread(channel, error);
      }
    }
  });
  redis.onReady(listen);
  const stop = subscribe(heartbeat, () => {
    heardAt = performance.now();
  });
  const beating = setInterval(() => {
    publish(heartbeat, "");
    const silentMs = performance.now() - heardAt;
    if (silentMs > unheardMs) listen();
    if (silentMs < deafMs) return;
    heardAt = performance.now();
    client.disconnect(true);
  }, aliveMs).unref();

  return {
    subscribe,
    close() {
      clearInterval(beating);
      stop();
    },
  };
}
