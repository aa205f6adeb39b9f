import type { UsageEvent } from "./event.js";

/**
 * Somewhere usage events go. Order, batching, retry, and what becomes of events that it refuses are the ledger's, once for all
 * sinks. `test/contract/sink.ts` is what each must do.
 */
export interface Sink {
  /** What it is, for metrics and logs. */
  readonly name: string;
  /**
   * Tells it from others of its name, and stays the same from one start to the next: what it has received is remembered under
   * it. Printable, without secrets. Default: its name.
   */
  readonly key?: string;
  /** Most events that it is given at once. Default: as many as the ledger likes. */
  readonly batchSize?: number;
  /**
   * Delivers the batch, whole or not at all. Rejects with an `EventsRefusedError` when it will never take one of them; any
   * other rejection means "again later". Has its own limits in time: nothing else is sent before it settles.
   */
  send(batch: readonly UsageEvent[]): Promise<void>;
  close?(): Promise<void>;
}

/** An event that a sink refuses, and what it said. */
export interface RefusedEvent {
  readonly event: UsageEvent;
  readonly why: string;
}

/** The sink will not take at least one event of the batch, however often it is asked. The message says what it answered. */
export class EventsRefusedError extends Error {
  override readonly name = "EventsRefusedError";
  constructor(
    message?: string,
    /** Those that it refuses, where it says which they are: then it has all others of the batch. Else it has none. */
    readonly refused?: readonly RefusedEvent[],
  ) {
    super(message);
  }
}

/** The sink asks not to be tried again before `retryAfterMs`. */
export class SinkBusyError extends Error {
  override readonly name = "SinkBusyError";
  constructor(
    message: string,
    readonly retryAfterMs: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
