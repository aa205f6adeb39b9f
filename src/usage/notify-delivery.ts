// Alerts on their way: one after another for each channel, tried again a few times, in a bounded queue.

import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../lib/log.js";
import { type Alert, type AlertChannel, AlertRefusedError } from "./alert.js";

/** What became of an alert. `lost`: the channel refuses it; `given_up`: as far as is known it did not arrive, and might later. */
export type AlertFate = "sent" | "lost" | "given_up";

export interface AlertDelivery {
  /** Resolves once it is known what became of it; never rejects. */
  send(channel: AlertChannel, alert: Alert): Promise<AlertFate>;
  /** What waits is given up. */
  close(): Promise<void>;
}

export interface DeliveryParts {
  readonly log: Pick<Log, "warn" | "info">;
  /** Counts what becomes of alerts. */
  readonly count: (channel: string, result: AlertFate | "retried") => void;
}

export interface DeliveryOptions {
  /** Times between attempts; one attempt more is made than there are times. Default 1 s, 5 s, 25 s. */
  readonly retriesMs?: readonly number[];
  /** Most alerts that wait for one channel. Default 100. */
  readonly maxWaiting?: number;
  /** Longest time that an alert waits for those before it, and is taken up then. Default 3 min. */
  readonly maxWaitMs?: number;
}

/** An alert in the queue. */
interface Waiting {
  readonly alert: Alert;
  /** Since when, by `performance.now()`. */
  readonly since: number;
  readonly resolve: (fate: AlertFate) => void;
}

export function createDelivery(
  { log, count }: DeliveryParts,
  channels: Iterable<AlertChannel>,
  { retriesMs = [1_000, 5_000, 25_000], maxWaiting = 100, maxWaitMs = 180_000 }: DeliveryOptions,
): AlertDelivery {
  const waiting = new Map<AlertChannel, Waiting[]>();
  const working = new Set<AlertChannel>();
  const stopping = new AbortController();

  function failed(channel: AlertChannel, alert: Alert, why: string, fate: "lost" | "given_up"): AlertFate {
    count(channel.name, fate);
    const { actor, percent, reached } = alert;
    const fields = { channel: channel.name, actor, percent, feature: reached.feature, why };
    log.warn(
      fields,
      fate === "lost" ? "alert was lost" : "alert was not sent, will be tried again with a later request",
    );
    return fate;
  }

  async function deliver(channel: AlertChannel, alert: Alert): Promise<AlertFate> {
    for (const waitMs of [...retriesMs, undefined]) {
      try {
        await channel.send(alert);
        count(channel.name, "sent");
        const { actor, percent, reached } = alert;
        log.info({ channel: channel.name, actor, percent, feature: reached.feature }, "alert was sent");
        return "sent";
      } catch (error) {
        const why = error instanceof Error ? error.message : "failed";
        if (error instanceof AlertRefusedError) return failed(channel, alert, why, "lost");
        if (waitMs === undefined || stopping.signal.aborted) return failed(channel, alert, why, "given_up");
        count(channel.name, "retried");
        await sleep(waitMs, undefined, { ref: false, signal: stopping.signal }).catch(() => undefined);
      }
    }
    return "given_up";
  }

  async function work(channel: AlertChannel, queue: Waiting[]): Promise<void> {
    if (working.has(channel)) return;
    working.add(channel);
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { alert, since, resolve } = next;
      const late = performance.now() - since > maxWaitMs;
      resolve(late ? failed(channel, alert, "it waited too long", "given_up") : await deliver(channel, alert));
    }
    working.delete(channel);
  }

  return {
    send(channel, alert) {
      const queue = waiting.get(channel) ?? [];
      waiting.set(channel, queue);
      if (stopping.signal.aborted || queue.length >= maxWaiting)
        return Promise.resolve(failed(channel, alert, "too many wait", "given_up"));
      return new Promise((resolve) => {
        queue.push({ alert, since: performance.now(), resolve });
        void work(channel, queue);
      });
    },
    async close() {
      stopping.abort();
      for (const [channel, queue] of waiting)
        for (const { alert, resolve } of queue.splice(0))
          resolve(failed(channel, alert, "the gateway ends", "given_up"));
      await Promise.all([...new Set(channels)].map((channel) => channel.close()));
    },
  };
}
