// Spans on their way out: they wait for one another, are sent together, and are dropped rather than being anybody's burden.

import { createSpanExports, type SpanExportsParts } from "./span-exports.js";

/** Spans that have ended, as bytes, until they are exported. */
export interface SpanQueue {
  /** Takes a span; drops it when too many wait. */
  add(span: Uint8Array): void;
  /** Exports what waits, for at most `timeoutMs`; what is left is dropped. Nothing is taken any more. Never rejects. */
  close(timeoutMs: number): Promise<void>;
}

export interface SpanQueueOptions {
  /** How long spans wait to be sent together. */
  readonly delayMs: number;
  /** How long an export that fails is tried again. */
  readonly exportMs: number;
  /** Most spans that wait. */
  readonly maxWaiting: number;
  /** Most spans of one export. */
  readonly batchSize: number;
}

export function createSpanQueue(parts: SpanExportsParts, options: SpanQueueOptions): SpanQueue {
  const { count } = parts;
  const { delayMs, maxWaiting, batchSize } = options;
  const exports = createSpanExports(parts, options);
  let waiting: Uint8Array[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  // Nothing is taken any more.
  let closing = false;
  // What is under way has had its time.
  let stopped = false;

  /** One export after another, while there is a whole one to send, or all of what waits. */
  async function work(all: boolean): Promise<void> {
    for (;;) {
      if (stopped || waiting.length < (all ? 1 : batchSize)) return;
      const batch = waiting.slice(0, batchSize);
      waiting = waiting.slice(batchSize);
      await exports.export(batch);
    }
  }

  function begin(all: boolean): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    sending ??= work(all).finally(() => {
      sending = undefined;
      schedule();
    });
    return sending;
  }

  function schedule(): void {
    if (closing || sending || waiting.length === 0) return;
    timer ??= setTimeout(() => void begin(true), delayMs).unref();
  }

  return {
    add(span) {
      if (closing || waiting.length >= maxWaiting) return count("dropped", 1);
      waiting.push(span);
      if (waiting.length >= batchSize) void begin(false);
      else schedule();
    },
    async close(timeoutMs) {
      closing = true;
      exports.hurry();
      const deadline = setTimeout(() => {
        stopped = true;
        exports.abort();
      }, timeoutMs);
      await sending;
      await begin(true);
      clearTimeout(deadline);
      if (waiting.length > 0) count("dropped", waiting.length);
      waiting = [];
    },
  };
}
