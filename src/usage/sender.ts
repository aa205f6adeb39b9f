import { deliver } from "./delivery.js";
import type { UsageEvent } from "./event.js";
import type { LaneParts } from "./lane.js";
import type { LedgerOptions } from "./ledger.js";
import type { OutboxBatch } from "./outbox.js";
import { EventsRefusedError, type RefusedEvent, type Sink, SinkBusyError } from "./sink.js";

/** Gives batches to one sink, and knows how it does. */
export interface Sender {
  /** Whether the sink failed when it was last asked. */
  readonly failing: boolean;
  /** Events that are to be looked at together. */
  readonly batchSize: number;
  /**
   * Resolves when the batch is where it should be: at the sink, or parked. Resolves to the number of events that arrived, or
   * to when to try again. Rejects when the outbox is away.
   */
  send(batch: OutboxBatch): Promise<{ readonly arrived: number } | { readonly retryInMs: number }>;
}

/** While a sink refuses everything, so many times the usual batch is looked at: some of it may be what it takes. */
const widest = 8;
/** Longest wait that a sink may ask for. */
const maxAskedMs = 3_600_000;

export function createSender(parts: LaneParts, options: LedgerOptions): Sender {
  const { outbox, sink, key, log, count } = parts;
  const { batchSize, refusedTries: tries, retryMs: pauseMs } = options;
  let failures = 0;
  let width = 1;

  const give: Sink["send"] = (batch) => sendWatched(parts, options.slowMs, batch);

  async function park({ event, why }: RefusedEvent): Promise<void> {
    const kept = await outbox.park({ sink: key, event, why });
    count(sink.name, kept ? "parked" : "lost", 1);
    log.error({ sink: sink.name, why, kept, event }, "usage event refused by its sink for good");
  }

  function succeeded(arrived: number): { arrived: number } {
    count(sink.name, "delivered", arrived);
    if (failures > 0) log.info({ sink: sink.name, failures }, "usage sink is back");
    failures = 0;
    width = 1;
    return { arrived };
  }

  function failed(events: number, error: unknown): { retryInMs: number } {
    failures += 1;
    if (error instanceof EventsRefusedError) width = Math.min(widest, width * 2);
    count(sink.name, "retried", events);
    // At the first failure, and then ever more rarely.
    if (Number.isInteger(Math.log2(failures))) {
      const waiting = outbox.waiting(key);
      log.warn({ sink: sink.name, failures, waiting, error }, "usage sink failed, will be tried again");
    }
    const askedMs = error instanceof SinkBusyError ? Math.min(error.retryAfterMs, maxAskedMs) : 0;
    return { retryInMs: Math.max(askedMs, retryWaitMs(failures, options, parts.random)) };
  }

  return {
    get failing() {
      return failures > 0;
    },
    get batchSize() {
      return batchSize * width;
    },
    async send(batch) {
      const { events } = batch;
      let refused: readonly RefusedEvent[];
      try {
        refused = await deliver(give, events, { batchSize, tries, pauseMs });
      } catch (error) {
        return failed(events.length, error);
      }
      for (const each of refused) await park(each);
      await batch.acknowledge();
      return succeeded(events.length - refused.length);
    },
  };
}

/** Doubles with each failure, with a random share of up to a half taken off: sinks are not to be asked by all at once. */
function retryWaitMs(failures: number, { retryMs, maxRetryMs }: LedgerOptions, random: () => number): number {
  const waitMs = Math.min(maxRetryMs, retryMs * 2 ** Math.min(failures - 1, 30));
  return waitMs * (0.5 + random() / 2);
}

/** Sends, and says so when that takes long. */
async function sendWatched(parts: LaneParts, slowMs: number, batch: readonly UsageEvent[]): Promise<void> {
  const { sink, key, outbox, log } = parts;
  const slow = setTimeout(() => {
    log.warn({ sink: sink.name, waiting: outbox.waiting(key) }, "usage sink does not answer");
  }, slowMs).unref();
  try {
    await sink.send(batch);
  } finally {
    clearTimeout(slow);
  }
}
