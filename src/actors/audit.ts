// Who wrote what to the actors, when and why: kept in the store of actors, so that every process tells the same.

import { randomBytes } from "node:crypto";
import type { Directory } from "./directory.js";
import { recordVersion } from "./records.js";
import type { ActorStore, StoreRecord } from "./store.js";

/** A write by an admin, also one that failed. */
export interface AuditEntry {
  /** Sorts by time. */
  readonly id: string;
  /** ms since the epoch by the store's clock. */
  readonly at: number;
  readonly admin: string;
  /** `SetActorOverride`. */
  readonly rpc: string;
  readonly requestId: string;
  readonly reason: string;
  /** The actor that was written to, where there is one. */
  readonly actor?: { readonly source: string; readonly id: string };
  /** The source that was written to, or that the actor belongs to. */
  readonly source?: string;
  /** What was there before and after, as JSON of the message in question. */
  readonly before?: AuditedValue;
  readonly after?: AuditedValue;
  /** Why it failed, as an `ErrorReason` without its prefix. */
  readonly error?: string;
}

/** A JSON object. */
export type AuditedValue = Readonly<Record<string, unknown>>;

export interface AuditLog {
  /** Keeps an entry. Throws `UnavailableError` when the store cannot be asked. */
  add(entry: Omit<AuditEntry, "id" | "at">): Promise<AuditEntry>;
  /** All that are kept, newest first. */
  entries(): readonly AuditEntry[];
}

/** How long entries are kept. */
const auditKeepMs = 400 * 86_400_000;
/** Most entries that are kept; the oldest go first. Every process has them in memory. */
const maxAuditEntries = 10_000;

export function createAuditLog(parts: { readonly store: ActorStore; readonly directory: Directory }): AuditLog {
  const { store, directory } = parts;

  const entries = (): readonly AuditEntry[] => [...directory.audit()].toSorted((a, b) => (a.id < b.id ? 1 : -1));

  return {
    entries,
    async add(entry) {
      const at = store.now();
      const id = `${at.toString(36).padStart(9, "0")}-${randomBytes(6).toString("hex")}`;
      const added = { id, at, ...entry };
      const tooMany = entries().slice(maxAuditEntries - 1, maxAuditEntries + 98);
      await store.write([auditRecord(added), ...tooMany.map((old) => removal(old.id))]);
      return added;
    },
  };
}

function auditRecord({ id, ...rest }: AuditEntry): StoreRecord {
  const value = JSON.stringify({ v: recordVersion, ...rest });
  return { kind: "audit", key: id, value, expiresAt: rest.at + auditKeepMs };
}

function removal(id: string): StoreRecord {
  return { kind: "audit", key: id, value: undefined };
}
