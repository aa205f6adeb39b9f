import type { UsageEvent } from "./event.js";
import type { LedgerOptions, LedgerParts, Sink } from "./ledger.js";

/** The events on their way to one sink. */
export interface Lane {
  /** Never throws and never waits. */
  push(event: UsageEvent): void;
  /** Resolves when everything pushed so far was delivered; tries at once. */
  drained(): Promise<void>;
  waiting(): number;
  close(): Promise<void>;
}

type LaneParts = Required<Omit<LedgerParts, "sinks">> & { readonly sink: Sink };

/** One delivery at a time, in order; a failed one is tried again until it succeeds. */
export function createLane(parts: LaneParts, options: LedgerOptions): Lane {
  const { sink, log, count } = parts;
  const queue: UsageEvent[] = [];
  const loss = createLossReport(parts);
  const drains = createDrains();
  let delivered = 0;
  let sending = false;
  let failures = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const wakeIn = (ms: number): void => {
    timer ??= setTimeout(() => void deliver(), ms).unref();
  };

  const succeeded = (events: number): void => {
    queue.splice(0, events);
    delivered += events;
    count(sink.name, "delivered", events);
    if (failures > 0) log.info({ sink: sink.name, failures }, "usage sink is back");
    failures = 0;
    drains.reached(delivered);
  };

  const failed = (events: number, error: unknown): void => {
    failures += 1;
    count(sink.name, "retried", events);
    // At the first failure, and then ever more rarely.
    if (Number.isInteger(Math.log2(failures))) {
      log.warn({ sink: sink.name, failures, waiting: queue.length, error }, "usage sink failed, will be tried again");
    }
    wakeIn(retryWaitMs(failures, options, parts.random));
  };

  const deliver = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    if (sending) return;
    sending = true;
    do {
      const batch = queue.slice(0, options.batchSize);
      try {
        await sendWatched(parts, options.slowMs, batch, queue);
      } catch (error) {
        sending = false;
        if (!closed) failed(batch.length, error);
        return;
      }
      if (closed) return;
      succeeded(batch.length);
    } while (queue.length >= options.batchSize || (drains.any() && queue.length > 0));
    sending = false;
    if (queue.length > 0) wakeIn(options.batchMs);
  };

  return {
    push(event) {
      if (closed || queue.length >= options.maxBacklog) return loss.add(1);
      queue.push(event);
      if (sending || failures > 0) return;
      if (queue.length >= options.batchSize) void deliver();
      else wakeIn(options.batchMs);
    },
    async drained() {
      if (queue.length === 0) return;
      const done = drains.until(delivered + queue.length);
      void deliver();
      await done;
    },
    waiting: () => queue.length,
    async close() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      loss.close(queue.splice(0).length);
      await closeSink(parts);
    },
  };
}

/** Doubles with each failure, with a random share of up to a half taken off: sinks are not to be asked by all at once. */
function retryWaitMs(failures: number, { retryMs, maxRetryMs }: LedgerOptions, random: () => number): number {
  const waitMs = Math.min(maxRetryMs, retryMs * 2 ** Math.min(failures - 1, 30));
  return waitMs * (0.5 + random() / 2);
}

/** Sends, and says so when that takes long. */
async function sendWatched(
  { sink, log }: LaneParts,
  slowMs: number,
  batch: readonly UsageEvent[],
  queue: readonly UsageEvent[],
): Promise<void> {
  const slow = setTimeout(() => {
    log.warn({ sink: sink.name, waiting: queue.length }, "usage sink does not answer");
  }, slowMs).unref();
  try {
    await sink.send(batch);
  } finally {
    clearTimeout(slow);
  }
}

async function closeSink({ sink, log }: LaneParts): Promise<void> {
  try {
    await sink.close?.();
  } catch (error) {
    log.warn({ sink: sink.name, error }, "usage sink could not be closed");
  }
}

/** Those who wait until so many events are delivered. */
function createDrains() {
  let waiting: { readonly events: number; readonly resolve: () => void }[] = [];
  return {
    any: () => waiting.length > 0,
    until: (events: number) => new Promise<void>((resolve) => void waiting.push({ events, resolve })),
    reached(delivered: number): void {
      for (const { events, resolve } of waiting) if (events <= delivered) resolve();
      waiting = waiting.filter(({ events }) => events > delivered);
    },
  };
}

/** Says that events were lost: at once, and then once a second while it goes on. */
function createLossReport({ sink, log, count }: LaneParts) {
  let lost = 0;
  let total = 0;
  let timer: NodeJS.Timeout | undefined;
  const tell = (): void => {
    timer = undefined;
    if (lost === 0) return;
    log.error({ sink: sink.name, lost, lostInAll: total }, "usage events lost");
    lost = 0;
    timer = setTimeout(tell, 1_000).unref();
  };
  const add = (events: number): void => {
    if (events === 0) return;
    lost += events;
    total += events;
    count(sink.name, "lost", events);
    if (!timer) tell();
  };
  return {
    add,
    close(remaining: number): void {
      add(remaining);
      clearTimeout(timer);
      tell();
      clearTimeout(timer);
    },
  };
}
