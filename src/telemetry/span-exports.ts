// Exports of spans: tried again for a while, then their spans are dropped and counted, and an outage is told of once.

import type { Log } from "../lib/log.js";

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

export interface SpanExportsParts {
  readonly send: SendSpans;
  readonly log: Log;
  /** Counts what became of spans. Must not throw. */
  readonly count: (result: "exported" | "dropped", spans: number) => void;
  /** From 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
}

/** One export at a time. */
export interface SpanExports {
  /** Exports the spans, or drops them after `exportMs`. Never rejects. */
  export(batch: readonly Uint8Array[]): Promise<void>;
  /** From now on nothing waits for another try. */
  hurry(): void;
  /** Ends the try under way. */
  abort(): void;
}

/** Wait before the first retry; each further one doubles it. */
const retryMs = 500;
const maxRetryMs = 5_000;

export function createSpanExports(parts: SpanExportsParts, { exportMs }: { readonly exportMs: number }): SpanExports {
  const { send, log, count, random = Math.random } = parts;
  let failures = 0;
  let told = false;
  let hurried = false;
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
        const last = askedMs === undefined || hurried || performance.now() + nextMs >= until;
        failed(error, last);
        if (last) break;
        await pause(nextMs);
      }
    }
    count("dropped", batch.length);
  }

  return {
    export: deliver,
    hurry() {
      hurried = true;
      endPause();
    },
    abort: () => endTry(),
  };
}
