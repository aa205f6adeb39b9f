import type { LedgerOptions, LedgerParts } from "./ledger.js";
import type { Outbox } from "./outbox.js";
import { createSender } from "./sender.js";
import type { Sink } from "./sink.js";

/** The events on their way from the outbox to one sink. */
export interface Lane {
  /** There may be something to deliver. */
  wake(): void;
  /** Resolves when everything that waits now was delivered; tries at once. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

export interface LaneParts extends Required<Pick<LedgerParts, "log" | "count" | "random">> {
  readonly outbox: Outbox;
  readonly sink: Sink;
  readonly key: string;
  /** Something was delivered. */
  readonly onDelivered: () => void;
}

/** Wait before an outbox that is away is asked again. */
const outboxAwayMs = 1_000;

/** One delivery at a time, in order; a failed one is tried again until it succeeds. */
export function createLane(parts: LaneParts, options: LedgerOptions): Lane {
  const { outbox, sink, key, log, onDelivered } = parts;
  const sender = createSender(parts, options);
  const drains = createDrains();
  let delivered = 0;
  let busy = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  /** Delivers batch after batch, as long as they are full or somebody waits. Resolves to when to go on by itself. */
  async function work(): Promise<number | undefined> {
    for (;;) {
      const batch = await outbox.read(key, sender.batchSize);
      if (batch === undefined) {
        drains.empty();
        return undefined;
      }
      const outcome = await sender.send(batch);
      if ("retryInMs" in outcome) return outcome.retryInMs;
      delivered += batch.events.length;
      drains.reached(delivered);
      onDelivered();
      const waiting = outbox.waiting(key);
      if (closed || (waiting < options.batchSize && !drains.any())) return waiting > 0 ? options.batchMs : undefined;
    }
  }

  async function pass(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    if (busy || closed) return;
    busy = true;
    const nextInMs = await work().catch((error: unknown) => {
      // The outbox is away, and says so itself.
      log.debug({ sink: sink.name, error }, "usage outbox cannot be read");
      return outboxAwayMs;
    });
    busy = false;
    // Who waits does so for a short time only: there is no point in asking ever more rarely.
    if (nextInMs !== undefined) passIn(drains.any() ? Math.min(nextInMs, options.retryMs) : nextInMs);
  }

  function passIn(ms: number): void {
    if (!closed) timer ??= setTimeout(() => void pass(), ms).unref();
  }

  return {
    wake() {
      // A sink that fails is asked again when it is time. Not if what it was to get went to another process meanwhile: then
      // what comes next is the first that it is asked about.
      if (closed || busy || (sender.failing && timer !== undefined)) return;
      if (outbox.waiting(key) >= options.batchSize) void pass();
      else passIn(options.batchMs);
    },
    async drained() {
      const waiting = outbox.waiting(key);
      if (waiting === 0) return;
      const done = drains.until(delivered + waiting);
      void pass();
      await done;
    },
    async close() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      try {
        await sink.close?.();
      } catch (error) {
        log.warn({ sink: sink.name, error }, "usage sink could not be closed");
      }
    },
  };
}

/** Those who wait until so many events are delivered, or nothing more is there. */
function createDrains() {
  let waiting: { readonly events: number; readonly resolve: () => void }[] = [];
  return {
    any: () => waiting.length > 0,
    until: (events: number) => new Promise<void>((resolve) => void waiting.push({ events, resolve })),
    reached(delivered: number): void {
      for (const { events, resolve } of waiting) if (events <= delivered) resolve();
      waiting = waiting.filter(({ events }) => events > delivered);
    },
    empty(): void {
      for (const { resolve } of waiting) resolve();
      waiting = [];
    },
  };
}
