import type { UsageEvent } from "./event.js";

/** Events on their way into an outbox that may be away. */
export interface AppendBuffer {
  /** Never throws and never waits. */
  add(event: UsageEvent): void;
  readonly size: number;
  /** The outbox is there again: tries at once. */
  hint(): void;
  /** Resolves when what was added so far is stored, or lost. */
  stored(): Promise<void>;
  /** Stops. Returns how many were not stored. */
  close(): number;
}

export interface AppendBufferParts {
  /** Stores events, in order; resolves to those that could not be. Must not reject. */
  readonly store: (events: readonly UsageEvent[]) => Promise<readonly UsageEvent[]>;
  /** So many events are lost: more wait than may. */
  readonly onLost: (events: number) => void;
}

export interface AppendBufferOptions {
  /** Most events that wait while the outbox is away. */
  readonly maxWaiting: number;
  /** Most events stored at once. */
  readonly batchSize?: number;
  /** Wait until the next attempt. */
  readonly retryMs?: number;
}

/** Keeps events in memory until they are stored; what comes in one turn of the event loop is stored together. */
export function createAppendBuffer(
  { store, onLost }: AppendBufferParts,
  { maxWaiting, batchSize = 500, retryMs = 250 }: AppendBufferOptions,
): AppendBuffer {
  let waiting: UsageEvent[] = [];
  let storing: readonly UsageEvent[] = [];
  let busy = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let told: (() => void)[] = [];

  async function storeAll(): Promise<void> {
    if (busy || closed) return;
    busy = true;
    clearTimeout(timer);
    timer = undefined;
    while (waiting.length > 0 && timer === undefined) {
      storing = waiting.slice(0, batchSize);
      waiting = waiting.slice(storing.length);
      const left = await store(storing);
      storing = [];
      if (closed) break;
      waiting = [...left, ...waiting];
      if (left.length > 0) timer = setTimeout(() => void storeAll(), retryMs).unref();
    }
    busy = false;
    if (waiting.length > 0) return;
    for (const resolve of told) resolve();
    told = [];
  }

  return {
    get size() {
      return waiting.length + storing.length;
    },
    add(event) {
      if (closed || waiting.length >= maxWaiting) return onLost(1);
      waiting.push(event);
      if (!busy && timer === undefined && waiting.length === 1) setImmediate(() => void storeAll());
    },
    hint() {
      if (timer !== undefined) void storeAll();
    },
    async stored() {
      if (waiting.length + storing.length === 0) return;
      const done = new Promise<void>((resolve) => void told.push(resolve));
      void storeAll();
      await done;
    },
    close() {
      closed = true;
      clearTimeout(timer);
      for (const resolve of told) resolve();
      return waiting.length + storing.length;
    },
  };
}
