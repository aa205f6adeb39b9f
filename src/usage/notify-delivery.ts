// Alerts on their way: one after another for each channel, tried again a few times, in a bounded queue.

import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../lib/log.js";
import { type Alert, type AlertChannel, AlertRefusedError } from "./alert.js";

export interface AlertDelivery {
  add(channel: AlertChannel, alert: Alert): void;
  /** What waits is lost, and counted so. */
  close(): Promise<void>;
}

export interface DeliveryParts {
  readonly log: Pick<Log, "warn" | "info">;
  /** Counts what becomes of alerts. */
  readonly count: (channel: string, result: "sent" | "retried" | "lost") => void;
}

export interface DeliveryOptions {
  /** Times between attempts; one attempt more is made than there are times. Default 1 s, 5 s, 25 s. */
  readonly retriesMs?: readonly number[];
  /** Most alerts that wait for one channel. Default 100. */
  readonly maxWaiting?: number;
}

export function createDelivery(
  { log, count }: DeliveryParts,
  channels: Iterable<AlertChannel>,
  { retriesMs = [1_000, 5_000, 25_000], maxWaiting = 100 }: DeliveryOptions,
): AlertDelivery {
  const waiting = new Map<AlertChannel, Alert[]>();
  const working = new Set<AlertChannel>();
  const stopping = new AbortController();

  function lost(channel: AlertChannel, alert: Alert, why: string): void {
    count(channel.name, "lost");
    const { actor, percent, reached } = alert;
    log.warn({ channel: channel.name, actor, percent, feature: reached.feature, why }, "alert was lost");
  }

  async function deliver(channel: AlertChannel, alert: Alert): Promise<void> {
    for (const waitMs of [...retriesMs, undefined]) {
      try {
        await channel.send(alert);
        count(channel.name, "sent");
        const { actor, percent, reached } = alert;
        return log.info({ channel: channel.name, actor, percent, feature: reached.feature }, "alert was sent");
      } catch (error) {
        const why = error instanceof Error ? error.message : "failed";
        if (waitMs === undefined || error instanceof AlertRefusedError || stopping.signal.aborted)
          return lost(channel, alert, why);
        count(channel.name, "retried");
        await sleep(waitMs, undefined, { ref: false, signal: stopping.signal }).catch(() => undefined);
      }
    }
  }

  async function work(channel: AlertChannel): Promise<void> {
    if (working.has(channel)) return;
    working.add(channel);
    for (let next = waiting.get(channel)?.shift(); next; next = waiting.get(channel)?.shift())
      await deliver(channel, next);
    working.delete(channel);
  }

  return {
    add(channel, alert) {
      const queue = waiting.get(channel) ?? [];
      waiting.set(channel, queue);
      if (stopping.signal.aborted || queue.length >= maxWaiting) return lost(channel, alert, "too many wait");
      queue.push(alert);
      void work(channel);
    },
    async close() {
      stopping.abort();
      for (const [channel, queue] of waiting)
        for (const alert of queue.splice(0)) lost(channel, alert, "the gateway ends");
      await Promise.all([...new Set(channels)].map((channel) => channel.close()));
    },
  };
}
