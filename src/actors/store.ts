// Where what is known of actors is kept, so that every process of a gateway, and the next start of it, knows the same.

/**
 * What a record is about. `actors`: an actor as its source told of it; `overrides`: what an operator set in place of that;
 * `revocations`: tokens that are refused whatever their source says; `unknown`: tokens that belong to nobody, for a short
 * while; `syncs`: how far each source's sync is, and how the last one ended; `watchers`: who watches the activity; `audit`: what
 * operators wrote.
 */
export type RecordKind = "actors" | "overrides" | "revocations" | "unknown" | "syncs" | "watchers" | "audit";

/** One record. Of the same kind and key, the later takes the place of the earlier. */
export interface StoreRecord {
  readonly kind: RecordKind;
  /** Unique within its kind. Any characters, at most 600 of them. Never a token: at most its hash. */
  readonly key: string;
  /** What is to be remembered, as JSON; undefined removes the record. */
  readonly value: string | undefined;
  /** When it goes by itself, ms since the epoch by the store's clock. Absent: never. */
  readonly expiresAt?: number;
}

/** Told of everything in the store, and of each change as it comes. Must not throw. */
export interface StoreListener {
  /**
   * Records were written or removed, by any process, in this order. One that expired is told of as removed. At most
   * `maxRecords` at once, and the event loop turns between two calls: many changes hold up nothing else.
   */
  changed(records: readonly StoreRecord[]): void;
  /** Everything is told anew from here to `reloaded`: what was not told again by then is gone. So it begins, too. */
  reloading(): void;
  reloaded(): void;
  /** Whether changes made by others are heard of. While they are not, what is known goes on to be served. */
  connected(up: boolean): void;
  /**
   * What it was told of and would miss, as records. A store that processes share, and that has lost everything, is given this
   * again by one of those who know it.
   */
  records?(): Iterable<StoreRecord>;
}

/** The right to do something that one process at a time may do. It ends `ttlMs` after it was taken or extended last. */
export interface Lease {
  readonly name: string;
  /** Resolves to false when it has ended: somebody else may have had it since, also when nobody has it now. */
  extend(): Promise<boolean>;
  /** Lets others have it. Does nothing when it has ended. */
  release(): Promise<void>;
}

/**
 * The store of what is known of actors. Every process holds all of it in memory and follows its changes, so that looking an
 * actor up needs no I/O. `test/contract/actor-store.ts` is what every store must do.
 *
 * Throws `UnavailableError` with reason `ACTOR_STORE_UNAVAILABLE` when it cannot be asked.
 */
export interface ActorStore {
  /** The store's clock, ms since the epoch; what expires, expires by it. */
  now(): number;
  /**
   * Tells `listener` all there is, then every change within a second of it. Resolves when all there is was told, also when the
   * store cannot be asked: then that follows once it can. Called once.
   */
  follow(listener: StoreListener): Promise<void>;
  /**
   * Writes all records or none, at most `maxRecords` of them. Once it resolves, this process' listener was told of them, and of
   * all that any process wrote before. With a lease, throws `LeaseLostError` and writes nothing when the lease is no longer
   * held: who was paused past its end cannot overwrite what its successor wrote. When it throws `UnavailableError`, the records
   * may have been written all the same.
   */
  write(records: readonly StoreRecord[], lease?: Lease): Promise<void>;
  /** The lease, or undefined while another has it. `holder` is told to who asks who has it. */
  acquire(name: string, options: { readonly ttlMs: number; readonly holder: string }): Promise<Lease | undefined>;
  /** Who holds the lease of this name now. */
  holder(name: string): Promise<string | undefined>;
  /** Takes one of `perSecond` permits of this name that all processes share; false when none is left. */
  take(name: string, options: { readonly perSecond: number; readonly burst: number }): Promise<boolean>;
  /** What is kept under this name for good, the same for all processes: `value`, if there was nothing. */
  keep(name: string, value: string): Promise<string>;
  /** Sends a message to all processes that listen; nobody keeps it. Lost while the store cannot be asked. */
  publish(channel: string, message: string): void;
  /** Calls back, never before it returns, with each message from now on, also with those of this process. Returns how to stop. */
  subscribe(channel: string, listener: (message: string) => void): () => void;
  close(): Promise<void>;
}

/** Most records of one `write`: more would hold up other calls to the store. */
export const maxRecords = 500;

/** Most characters of a record's key. */
export const maxKeyLength = 600;

/** The lease that a write depends on has ended. Nothing was written. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  constructor(
    /** Which lease. */
    readonly lease: string,
  ) {
    super("lease is lost");
  }
}

/** Throws `RangeError` for records that no store takes. */
export function checkRecords(records: readonly StoreRecord[]): void {
  if (records.length > maxRecords) throw new RangeError(`${records.length} records, expected ${maxRecords} at most`);
  for (const { kind, key } of records) {
    if (key === "" || key.length > maxKeyLength)
      throw new RangeError(`${kind}: key of ${key.length} characters, expected 1 to ${maxKeyLength}`);
  }
}
