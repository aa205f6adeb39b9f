// What a directory knows of tokens, syncs and watchers beside the actors.

import type { AuditEntry } from "./audit.js";
import type { DirectoryChange } from "./directory.js";
import type { RecordReader } from "./record-reader.js";
import type { Revocation } from "./records.js";
import { createReplicaMap, type Replica, type ReplicaMap } from "./replica.js";
import type { StoreRecord } from "./store.js";
import type { SyncState } from "./sync-state.js";

export interface Marks {
  readonly revocations: Replica & { readonly entries: ReplicaMap<Revocation> };
  readonly syncs: Replica & { readonly entries: ReplicaMap<SyncState> };
  /** The entries are when each ends. */
  readonly unknown: Replica & { readonly entries: ReplicaMap<number> };
  readonly audit: Replica & { readonly entries: ReplicaMap<AuditEntry> };
  readonly watchers: Replica & { readonly entries: ReplicaMap<number> };
}

/** `maxUnknown`: most tokens of nobody that are kept; the oldest are forgotten first. */
export function createMarks(
  read: RecordReader,
  tell: (change: DirectoryChange) => void,
  { maxUnknown }: { readonly maxUnknown: number },
): Marks {
  const readEnd = (record: StoreRecord): number => {
    read.plain(record);
    return record.expiresAt ?? Infinity;
  };
  const unknown = createMark(readEnd, (tokenHash, end) =>
    tell({ kind: "unknown", tokenHash, isUnknown: end !== undefined }),
  );
  return {
    revocations: createMark(read.revocation, (tokenHash, revocation) =>
      tell({ kind: "revocation", tokenHash, revocation }),
    ),
    syncs: createMark(read.sync, (source, state) => tell({ kind: "sync", source, state })),
    watchers: createMark(readEnd, () => undefined),
    audit: createMark(read.audit, () => undefined),
    unknown: {
      ...unknown,
      set(record) {
        unknown.set(record);
        const { entries } = unknown;
        for (const oldest of entries.keys()) {
          if (entries.size <= maxUnknown) break;
          unknown.delete(oldest);
        }
      },
    },
  };
}

function createMark<V>(
  read: (record: StoreRecord) => V,
  onChange: (key: string, value: V | undefined) => void,
): Replica & { readonly entries: ReplicaMap<V> } {
  const entries = createReplicaMap<V>();
  return {
    entries,
    set(record) {
      const value = read(record);
      entries.set(record.key, value);
      onChange(record.key, value);
    },
    delete(key) {
      if (entries.get(key) === undefined) return;
      entries.delete(key);
      onChange(key, undefined);
    },
  };
}
