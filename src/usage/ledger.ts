import type { UsageEvent } from "./event.js";

/** Somewhere usage events go. Durability, order, batching and retry are the ledger's, once for all sinks. */
export interface Sink {
  readonly name: string;
  /** Delivers the batch, whole or not at all; a rejection means "again later". */
  send(batch: readonly UsageEvent[]): Promise<void>;
  close?(): Promise<void>;
}

/** Takes each request's usage event and sees that every sink gets it. */
export interface Ledger {
  /** Never throws and never waits: the caller's request does not depend on a sink. */
  emit(event: UsageEvent): void;
  /** Resolves when everything emitted so far was delivered, or `timeoutMs` passed. */
  flush(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}
