import type { UsageEvent } from "./event.js";
import { maxParkedEvents, type Outbox, type OutboxListener, type ParkedEvent } from "./outbox.js";

export interface MemoryOutboxOptions {
  /** Default 100,000. */
  readonly maxWaiting?: number;
  /** Most events kept that sinks refused. Default 10,000. */
  readonly maxParked?: number;
  /** As `RedisOutboxOptions.dropsOldest`. */
  readonly dropsOldest?: boolean;
}

/** An outbox in memory, and what sinks refused. */
export interface MemoryOutbox extends Outbox {
  parked(): readonly ParkedEvent[];
}

/** An outbox in memory: a crash loses what was not delivered yet. */
export function createMemoryOutbox(
  sinks: readonly string[],
  { maxWaiting = 100_000, maxParked = maxParkedEvents, dropsOldest = true }: MemoryOutboxOptions = {},
): MemoryOutbox {
  // Events are numbered as they come; `first` is the number of the first one kept.
  let events: UsageEvent[] = [];
  let first = 0;
  const next = new Map(sinks.map((sink) => [sink, 0]));
  const parked: ParkedEvent[] = [];
  let listener: OutboxListener | undefined;
  let closed = false;

  const end = (): number => first + events.length;
  const waitingFor = (sink: string): number => end() - (next.get(sink) ?? end());
  const longest = (): number => sinks.reduce((most, sink) => Math.max(most, waitingFor(sink)), 0);
  const full = (): boolean => longest() >= maxWaiting;

  function advance(sink: string, to: number): void {
    next.set(sink, Math.max(to, next.get(sink) ?? 0));
    const had = Math.min(...next.values());
    // Moving the rest up each time would cost too much. Once it is no more than what goes, each event is moved once at most.
    if (had - first < end() - had) return;
    events = events.slice(had - first);
    first = had;
  }

  function bound(sink: string): void {
    const over = waitingFor(sink) - maxWaiting;
    if (over <= 0) return;
    advance(sink, (next.get(sink) ?? 0) + over);
    listener?.lost(sink, over);
  }

  return {
    maxWaiting,
    durable: false,
    append(event) {
      const noRoom = !dropsOldest && event.outcome === "refused" && full();
      if (closed || noRoom) for (const sink of sinks) listener?.lost(sink, 1);
      if (closed || noRoom || sinks.length === 0) return;
      events.push(event);
      if (dropsOldest) sinks.forEach(bound);
      listener?.ready();
    },
    async read(sink, max) {
      const from = next.get(sink) ?? end();
      const batch = events.slice(from - first, from - first + max);
      if (batch.length === 0 || closed) return undefined;
      return { events: batch, acknowledge: async () => advance(sink, from + batch.length) };
    },
    async park(event) {
      if (parked.length >= maxParked) return false;
      parked.push(event);
      return true;
    },
    parked: () => parked,
    waiting: (sink) => (sink === undefined ? longest() : waitingFor(sink)),
    full,
    listen: (given) => void (listener = given),
    stored: () => Promise.resolve(),
    async close() {
      if (closed) return;
      closed = true;
      for (const sink of sinks) if (waitingFor(sink) > 0) listener?.lost(sink, waitingFor(sink));
      events = [];
    },
  };
}
