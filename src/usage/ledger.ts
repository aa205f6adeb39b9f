import type { Log } from "../lib/log.js";
import type { UsageEvent } from "./event.js";
import { createLane } from "./lane.js";

/** Somewhere usage events go. Durability, order, batching and retry are the ledger's, once for all sinks. */
export interface Sink {
  readonly name: string;
  /**
   * Delivers the batch, whole or not at all; a rejection means "again later". Has its own limits in time: nothing else
   * is sent before it settles.
   */
  send(batch: readonly UsageEvent[]): Promise<void>;
  close?(): Promise<void>;
}

/** Takes each request's usage event and sees that every sink gets it. */
export interface Ledger {
  /** Never throws and never waits: the caller's request does not depend on a sink. */
  emit(event: UsageEvent): void;
  /** Resolves when everything emitted so far was delivered, or `timeoutMs` passed. */
  flush(timeoutMs: number): Promise<void>;
  /** Events that wait for a sink, counted once for each. */
  backlog(): number;
  /** Stops; what was not delivered by then is lost, and said so. Call `flush` before it. */
  close(): Promise<void>;
}

export interface LedgerParts {
  readonly sinks: readonly Sink[];
  readonly log: Pick<Log, "info" | "warn" | "error">;
  /** Counts what becomes of events. Must not throw. */
  readonly count?: (sink: string, result: "delivered" | "retried" | "lost", events: number) => void;
  /** From 0 up to 1, for the jitter of retries. Default `Math.random`. */
  readonly random?: () => number;
}

export interface LedgerOptions {
  /** Most events of one delivery. */
  readonly batchSize: number;
  /** How long an event waits for others to be delivered with. */
  readonly batchMs: number;
  /** Most events that wait for one sink; further ones are lost, and said so. */
  readonly maxBacklog: number;
  /** Wait before the first retry; each further one doubles it, up to `maxRetryMs`. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** A delivery that takes longer is said so. */
  readonly slowMs: number;
}

const defaults: LedgerOptions = {
  batchSize: 100,
  batchMs: 200,
  maxBacklog: 100_000,
  retryMs: 250,
  maxRetryMs: 30_000,
  slowMs: 10_000,
};

/**
 * A ledger in memory: a crash loses what was not delivered yet. Each sink gets every event in order, at its own pace;
 * one that is away does not keep the others waiting.
 */
export function createLedger(parts: LedgerParts, options: Partial<LedgerOptions> = {}): Ledger {
  const { log, count = () => {}, random = Math.random } = parts;
  const settings = { ...defaults, ...options };
  const lanes = parts.sinks.map((sink) => createLane({ sink, log, count, random }, settings));
  return {
    emit(event) {
      for (const lane of lanes) lane.push(event);
    },
    async flush(timeoutMs) {
      await within(timeoutMs, Promise.all(lanes.map((lane) => lane.drained())));
    },
    backlog: () => lanes.reduce((sum, lane) => sum + lane.waiting(), 0),
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()));
    },
  };
}

async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
