import type { UsageEvent } from "./event.js";

/**
 * Where usage events wait until every sink has them: `memory-outbox.ts` for as long as the process lives,
 * `redis-outbox.ts` for any number of processes, which share the work. `test/contract/outbox.ts` is what each must do.
 *
 * Sinks are known by their keys, and each gets every event: an actor's in the order in which they came, at least once. More
 * than `maxWaiting` may not wait: what a sink that is so far behind has not had is then lost to it, oldest first, and said.
 */
export interface Outbox {
  /** Takes an event that nobody else told the outbox of. Never throws and never waits. */
  append(event: UsageEvent): void;
  /**
   * The oldest events that `sink` does not have, at most `max`; undefined: none is known of. The same again until they are
   * acknowledged. Rejects when the outbox is away. One batch at a time for each sink.
   */
  read(sink: string, max: number): Promise<OutboxBatch | undefined>;
  /** Keeps an event that a sink refuses, where somebody can look at it. Resolves to false when there is no room for more. */
  park(parked: ParkedEvent): Promise<boolean>;
  /** Events that wait here for the sink, or for any: about, and as far as this process is to see to them. */
  waiting(sink?: string): number;
  /** Whether as many wait as may, counted over all processes. */
  full(): boolean;
  readonly maxWaiting: number;
  /** Whether what waits here outlives the process. */
  readonly durable: boolean;
  /** Whom it tells of what happens. Called once, before anything else. */
  listen(listener: OutboxListener): void;
  /** Resolves when what was appended so far can be read, or is lost. */
  stored(): Promise<void>;
  /** Stops. What is not durable is lost then, and said. What this process was to see to is left to others. */
  close(): Promise<void>;
}

/** Events to be delivered together. */
export interface OutboxBatch {
  readonly events: readonly UsageEvent[];
  /** The sink has them all. */
  acknowledge(): Promise<void>;
}

/** Must not throw. */
export interface OutboxListener {
  /** There is, or may be, something to read. */
  ready(): void;
  /** So many events will never reach the sink. */
  lost(sink: string, events: number): void;
}

/** An event that a sink will not take. */
export interface ParkedEvent {
  readonly sink: string;
  readonly event: UsageEvent;
  /** What the sink said. */
  readonly why: string;
}

/** Most events kept that sinks refused, where nothing else is said. */
export const maxParkedEvents = 10_000;
