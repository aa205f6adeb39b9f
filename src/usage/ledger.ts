import type { Log } from "../lib/log.js";
import { createBacklogAlarm } from "./backlog-alarm.js";
import type { UsageEvent } from "./event.js";
import { createLane } from "./lane.js";
import { createLossReport } from "./losses.js";
import type { Outbox } from "./outbox.js";
import type { Sink } from "./sink.js";

/** Sees that every sink gets each request's usage event. */
export interface Ledger {
  /**
   * Takes an event that the settlement did not put into the outbox. Never throws and never waits: the caller's request does
   * not depend on a sink.
   */
  emit(event: UsageEvent): void;
  /** Resolves when everything that waits now was delivered, or `timeoutMs` passed. */
  flush(timeoutMs: number): Promise<void>;
  /** Events that wait here for a sink. */
  backlog(): number;
  /** Whether no more events may wait. */
  full(): boolean;
  /** Stops; what the outbox does not keep is lost then, and said so. Call `flush` before it. */
  close(): Promise<void>;
}

/** What becomes of an event at a sink. `parked`: the sink refuses it for good, and it is kept apart. */
export type EventResult = "delivered" | "retried" | "parked" | "lost";

export interface LedgerParts {
  /** For the sinks' keys. The ledger closes it. */
  readonly outbox: Outbox;
  /** With different keys. */
  readonly sinks: readonly Sink[];
  readonly log: Log;
  /** Counts what becomes of events, by the sink's name. Must not throw. */
  readonly count?: (sink: string, result: EventResult, events: number) => void;
  /** From 0 up to 1, for the jitter of retries. Default `Math.random`. */
  readonly random?: () => number;
}

export interface LedgerOptions {
  /** Most events of one delivery, to sinks that do not say. */
  readonly batchSize: number;
  /** How long an event waits for others to be delivered with. */
  readonly batchMs: number;
  /** Wait before the first retry; each further one doubles it, up to `maxRetryMs`. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** How often a sink is given an event that it refuses, while it takes others, until the event is parked. */
  readonly refusedTries: number;
  /** A delivery that takes longer is said so. */
  readonly slowMs: number;
}

const defaults: LedgerOptions = {
  batchSize: 100,
  batchMs: 200,
  retryMs: 250,
  maxRetryMs: 30_000,
  refusedTries: 3,
  slowMs: 10_000,
};

/** What a sink is known by to the outbox. */
export function sinkKey(sink: Sink): string {
  return sink.key ?? sink.name;
}

/** Each sink gets every event, in order, at its own pace; one that is away does not keep the others waiting. */
export function createLedger(parts: LedgerParts, options: Partial<LedgerOptions> = {}): Ledger {
  const { outbox, log, count = () => {}, random = Math.random } = parts;
  const settings = { ...defaults, ...options };
  const alarm = createBacklogAlarm({ log, max: outbox.maxWaiting });
  const look = (): void => alarm.look(outbox.waiting());
  const lanes = parts.sinks.map((sink) => {
    const key = sinkKey(sink);
    const losses = createLossReport({ sink: sink.name, log, count });
    const own = { ...settings, batchSize: sink.batchSize ?? settings.batchSize };
    return { key, losses, lane: createLane({ outbox, sink, key, log, count, random, onDelivered: look }, own) };
  });
  outbox.listen({
    ready() {
      look();
      for (const { lane } of lanes) lane.wake();
    },
    lost: (sink, events) => lanes.find(({ key }) => key === sink)?.losses.add(events),
  });
  return {
    emit: (event) => outbox.append(event),
    async flush(timeoutMs) {
      const drain = async (): Promise<void> => {
        await outbox.stored();
        await Promise.all(lanes.map(({ lane }) => lane.drained()));
      };
      await within(timeoutMs, drain());
    },
    backlog: () => outbox.waiting(),
    full: () => outbox.full(),
    async close() {
      await Promise.all(lanes.map(({ lane }) => lane.close()));
      await outbox.close();
      for (const { losses } of lanes) losses.close();
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
