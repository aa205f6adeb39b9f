import type { Database } from "../lib/database.js";
import type { Log } from "../lib/log.js";
import { createAppendBuffer } from "./append-buffer.js";
import { openTableReader } from "./database-outbox-reader.js";
import { appending, parking } from "./database-outbox-tables.js";
import type { UsageEvent } from "./event.js";
import { every } from "./every.js";
import { maxParkedEvents, type Outbox, type OutboxListener } from "./outbox.js";

export interface DatabaseOutboxParts {
  /** With the table that the quota store has made and writes to. The outbox does not close it. */
  readonly database: Database;
  readonly log: Pick<Log, "error">;
}

export interface DatabaseOutboxOptions {
  /** Most entries: events, and the starts of requests among them. Default 1,000,000. */
  readonly maxWaiting?: number;
  /** Most events kept in memory while the disk takes nothing. Default 100,000. */
  readonly maxBuffered?: number;
  /** Most events kept that sinks refused. Default 10,000. */
  readonly maxParked?: number;
  /** As `RedisOutboxOptions.dropsOldest`. */
  readonly dropsOldest?: boolean;
  /** Time between two looks for new events. Default 250 ms. */
  readonly pollMs?: number;
}

/**
 * The outbox that the quota store of a data directory writes to: events outlive the process, and the next one goes on with
 * them. Throws `DatabaseUnusableError` when the database is damaged.
 */
export async function createDatabaseOutbox(
  { database, log }: DatabaseOutboxParts,
  sinks: readonly string[],
  options: DatabaseOutboxOptions = {},
): Promise<Outbox> {
  const { maxWaiting = 1_000_000, maxBuffered = 100_000, maxParked = maxParkedEvents } = options;
  const { dropsOldest = true, pollMs = 250 } = options;
  let listener: OutboxListener | undefined;
  const onLost = (sink: string, events: number): void => {
    if (events > 0) listener?.lost(sink, events);
  };
  const lostToAll = (events: number): void => sinks.forEach((sink) => onLost(sink, events));
  const reader = await openTableReader({ database, sinks, log, onLost });
  const store = (events: readonly UsageEvent[]) => append(database, events);
  const buffer = createAppendBuffer({ store, onLost: lostToAll }, { maxWaiting: maxBuffered });
  let { parked } = reader;
  const longest = (): number => Math.max(0, ...sinks.map(reader.waiting));
  const full = (): boolean => longest() >= maxWaiting || buffer.size >= maxBuffered;

  async function poll(): Promise<void> {
    await reader.look();
    if (dropsOldest && longest() > maxWaiting && database.failure === undefined) await reader.discard(maxWaiting);
    if (longest() > 0) listener?.ready();
  }

  const polls = every(pollMs, poll);
  const stop = database.onState((failure) => {
    if (failure === undefined) buffer.hint();
  });

  return {
    maxWaiting,
    durable: true,
    append(event) {
      // Refused because there is no room: there is none for this one either.
      if (!dropsOldest && event.outcome === "refused" && full()) lostToAll(1);
      else buffer.add(event);
    },
    read: reader.read,
    async park(event) {
      if (parked >= maxParked) return false;
      parked++;
      await database.write([parking(event)]).catch((error: unknown) => {
        parked--;
        throw error;
      });
      return true;
    },
    waiting: (sink) => (sink === undefined ? longest() + buffer.size : reader.waiting(sink)),
    full,
    listen: (given) => void (listener = given),
    async stored() {
      await buffer.stored();
      await poll().catch(() => undefined);
    },
    async close() {
      polls.stop();
      stop();
      lostToAll(buffer.close());
    },
  };
}

/** Writes events that no settlement carried. Resolves to those that could not be written. */
async function append(database: Database, events: readonly UsageEvent[]): Promise<readonly UsageEvent[]> {
  try {
    await database.write([appending(events)]);
    return [];
  } catch {
    return events;
  }
}
