import type { WideMap } from "../lib/wide-map.js";
import type { StoreRecord } from "./store.js";

/** What is known of one kind of records, and how a record of it becomes known. */
export interface Replica {
  /** Throws when the record makes no sense. */
  set(record: StoreRecord): void;
  delete(key: string): void;
  readonly entries: Retold;
}

/** Entries of which those can be found that were not told again when everything was told anew. */
export interface Retold {
  /** Oldest first, where there is an order. Entries may come and go while these are read. */
  keys(): Iterable<string>;
  /** It was told of and cannot be read: what is known of it stays. */
  keep(key: string): void;
  /** Which telling of everything is the latest. */
  readonly telling: number;
  /** Everything is told anew from here. */
  retell(): void;
  /** Whether the entry is there and was told in no telling as late as that one. */
  isOlder(key: string, telling: number): boolean;
}

/** Values by key. */
export interface ReplicaMap<V> extends Retold {
  readonly size: number;
  get(key: string): V | undefined;
  /** Returns where the value is as long as it is not deleted. */
  set(key: string, value: V): Place<V>;
  /** Where the value is; undefined: there is none. */
  place(key: string): Place<V> | undefined;
  delete(key: string): void;
  values(): Iterable<V>;
}

/** A place that holds the newest value of a key. */
export interface Place<V> {
  readonly value: V;
}

interface Entry<V> extends Place<V> {
  value: V;
  telling: number;
}

/** Without `entries`, their order is that in which they came. */
export function createReplicaMap<V>(entries: WideMap<Entry<V>> = new Map()): ReplicaMap<V> {
  let telling = 0;
  return {
    get size() {
      return entries.size;
    },
    get: (key) => entries.get(key)?.value,
    set(key, value) {
      const known = entries.get(key);
      if (known === undefined) {
        const entry = { value, telling };
        entries.set(key, entry);
        return entry;
      }
      known.value = value;
      known.telling = telling;
      return known;
    },
    place: (key) => entries.get(key),
    keep(key) {
      const entry = entries.get(key);
      if (entry !== undefined) entry.telling = telling;
    },
    delete: (key) => entries.delete(key),
    keys: () => entries.keys(),
    *values() {
      for (const { value } of entries.values()) yield value;
    },
    get telling() {
      return telling;
    },
    retell() {
      telling++;
    },
    isOlder: (key, than) => (entries.get(key)?.telling ?? than) < than,
  };
}

/** Records that are looked at in one turn of the event loop. */
const slice = 2_000;

/** Deletes what was not told in the latest telling, in slices. */
export async function sweepReplica(replica: Replica): Promise<void> {
  const { telling } = replica.entries;
  let looked = 0;
  for (const key of replica.entries.keys()) {
    if (replica.entries.isOlder(key, telling)) replica.delete(key);
    if (++looked % slice === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
