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
  const { sink, log, count, random } = parts;
  const queue: UsageEvent[] = [];
  const loss = createLossReport(parts);
  let delivered = 0;
  let sending = false;
  let failures = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let drains: { readonly until: number; resolve(): void }[] = [];

  const wakeIn = (ms: number): void => {
    timer ??= setTimeout(() => void deliver(), ms).unref();
  };

  const succeeded = (events: number): void => {
    queue.splice(0, events);
    delivered += events;
    count(sink.name, "delivered", events);
    if (failures > 0) log.info({ sink: sink.name, failures, waiting: queue.length }, "usage sink is back");
    failures = 0;
    for (const drain of drains) if (drain.until <= delivered) drain.resolve();
    drains = drains.filter((drain) => drain.until > delivered);
  };

  const failed = (events: number, error: unknown): void => {
    failures += 1;
    count(sink.name, "retried", events);
    // At the first failure, and then ever more rarely.
    if (Number.isInteger(Math.log2(failures))) {
      log.warn({ sink: sink.name, failures, waiting: queue.length, error }, "usage sink failed, will be tried again");
    }
    const waitMs = Math.min(options.maxRetryMs, options.retryMs * 2 ** Math.min(failures - 1, 30));
    wakeIn(waitMs * (0.5 + random() / 2));
  };

  const send = async (batch: readonly UsageEvent[]): Promise<void> => {
    const slow = setTimeout(() => {
      log.warn({ sink: sink.name, waiting: queue.length }, "usage sink does not answer");
    }, options.slowMs).unref();
    try {
      await sink.send(batch);
    } finally {
      clearTimeout(slow);
    }
  };

  const deliver = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    if (sending) return;
    sending = true;
    do {
      const batch = queue.slice(0, options.batchSize);
      try {
        await send(batch);
      } catch (error) {
        sending = false;
        if (!closed) failed(batch.length, error);
        return;
      }
      if (closed) return;
      succeeded(batch.length);
    } while (queue.length >= options.batchSize || (drains.length > 0 && queue.length > 0));
    sending = false;
    if (queue.length > 0) wakeIn(options.batchMs);
  };

  return {
    push(event) {
      if (closed || queue.length >= options.maxBacklog) {
        loss.add(1, queue.length);
        return;
      }
      queue.push(event);
      if (sending || failures > 0) return;
      if (queue.length >= options.batchSize) void deliver();
      else wakeIn(options.batchMs);
    },
    drained() {
      if (queue.length === 0) return Promise.resolve();
      const done = new Promise<void>((resolve) => {
        drains.push({ until: delivered + queue.length, resolve });
      });
      void deliver();
      return done;
    },
    waiting: () => queue.length,
    async close() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      if (queue.length > 0) loss.add(queue.length, queue.length);
      loss.close();
      queue.length = 0;
      try {
        await sink.close?.();
      } catch (error) {
        log.warn({ sink: sink.name, error }, "usage sink could not be closed");
      }
    },
  };
}

/** Says that events were lost: at once, and then once a second while it goes on. */
function createLossReport({ sink, log, count }: LaneParts) {
  let lost = 0;
  let total = 0;
  let timer: NodeJS.Timeout | undefined;
  const tell = (waiting: number): void => {
    timer = undefined;
    if (lost === 0) return;
    log.error({ sink: sink.name, lost, lostInAll: total, waiting }, "usage events lost");
    lost = 0;
    timer = setTimeout(() => tell(waiting), 1_000).unref();
  };
  return {
    add(events: number, waiting: number): void {
      lost += events;
      total += events;
      count(sink.name, "lost", events);
      if (!timer) tell(waiting);
    },
    close(): void {
      clearTimeout(timer);
      tell(0);
      clearTimeout(timer);
    },
  };
}
