// Spans on their way out: they wait for one another, are sent together, and are dropped rather than being anybody's burden.

import type { Log } from "../lib/log.js";

/** Spans that have ended, as bytes, until they are exported. */
export interface SpanQueue {
  /** Takes a span; drops it when too many wait. */
  add(span: Uint8Array): void;
  /** Exports what waits, for at most `timeoutMs`; what is left is dropped. Nothing is taken any more. Never rejects. */
  close(timeoutMs: number): Promise<void>;
}

/** Sends spans. Rejects when they did not arrive: with `ExportFailedError`, or as a bug. Resolves to how many were not taken. */
export type SendSpans = (spans: readonly Uint8Array[], signal: AbortSignal) => Promise<number>;

/** An export did not arrive. The message holds nothing of what was sent. */
export class ExportFailedError extends Error {
  override readonly name = "ExportFailedError";
  constructor(
    message: string,
    /** When to try again at the earliest; undefined: another try is no use. */
    readonly retryAfterMs: number | undefined,
  ) {
    super(message);
  }
}

export interface SpanQueueParts {
  readonly send: SendSpans;
  readonly log: Log;
  /** Counts what became of spans. Must not throw. */
  readonly count: (result: "exported" | "dropped", spans: number) => void;
  /** From 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
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

/** Wait before the first retry; each further one doubles it. */
const retryMs = 500;
const maxRetryMs = 5_000;

export function createSpanQueue(parts: SpanQueueParts, options: SpanQueueOptions): SpanQueue {
  const { send, log, count, random = Math.random } = parts;
  const { delayMs, exportMs, maxWaiting, batchSize } = options;
  let waiting: Uint8Array[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let failures = 0;
  let told = false;
  // Nothing is taken any more, and nothing waits for another try.
  let closing = false;
  // What is under way has had its time.
  let stopped = false;
  // Ends the wait for another try, and the one under way.
  let endPause = (): void => {};
  let endTry = (): void => {};

  function succeeded(sent: number, rejected: number): void {
    count("exported", sent - rejected);
    if (rejected > 0) count("dropped", rejected);
    if (told) log.info({ failures }, "traces are exported again");
    failures = 0;
    told = false;
  }

  /** `last`: the spans are lost. */
  function failed(error: unknown, last: boolean): void {
    failures++;
    // Once for all that fails until it works again; not of a connection that was closed as it was taken up.
    if (told || (failures === 1 && !last)) return;
    told = true;
    log.warn({ why: error instanceof Error ? error.message : "failed" }, "traces cannot be exported");
  }

  /** How many spans were not taken. */
  async function tryOnce(batch: readonly Uint8Array[], ms: number): Promise<number> {
    const ending = new AbortController();
    endTry = () => ending.abort();
    const late = setTimeout(endTry, ms);
    try {
      return Math.min(batch.length, await send(batch, ending.signal));
    } finally {
      clearTimeout(late);
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const over = setTimeout(resolve, ms);
      over.unref();
      endPause = () => {
        clearTimeout(over);
        resolve();
      };
    });
  }

  /** Tries until it works, is no use, or has taken its time. */
  async function deliver(batch: readonly Uint8Array[]): Promise<void> {
    const until = performance.now() + exportMs;
    for (let waitMs = retryMs; ; waitMs = Math.min(waitMs * 2, maxRetryMs)) {
      try {
        return succeeded(batch.length, await tryOnce(batch, until - performance.now()));
      } catch (error) {
        const askedMs = error instanceof ExportFailedError ? error.retryAfterMs : undefined;
        const nextMs = Math.max(askedMs ?? 0, waitMs * (0.5 + random() / 2));
        const last = askedMs === undefined || closing || performance.now() + nextMs >= until;
        failed(error, last);
        if (last) break;
        await pause(nextMs);
      }
    }
    count("dropped", batch.length);
  }

  /** One export after another, while there is a whole one to send, or all of what waits. */
  async function work(all: boolean): Promise<void> {
    for (;;) {
      if (stopped || waiting.length < (all ? 1 : batchSize)) return;
      const batch = waiting.slice(0, batchSize);
      waiting = waiting.slice(batchSize);
      await deliver(batch);
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
      endPause();
      const deadline = setTimeout(() => {
        stopped = true;
        endTry();
      }, timeoutMs);
      await sending;
      await begin(true);
      clearTimeout(deadline);
      if (waiting.length > 0) count("dropped", waiting.length);
      waiting = [];
    },
  };
}
