import type { Log } from "../lib/log.js";
import type { Actor } from "./actor.js";
import type { AuditEntry } from "./audit.js";
import { createKnownActors } from "./directory-actors.js";
import { createMarks } from "./directory-marks.js";
import type { Override } from "./override.js";
import { createRecordReader } from "./record-reader.js";
import { actorKey, type Revocation, revocationRecord, syncRecord, type ToldActor } from "./records.js";
import { type Replica, sweepReplica } from "./replica.js";
import type { RecordKind, StoreListener, StoreRecord } from "./store.js";
import type { SyncState } from "./sync-state.js";

/** An actor that is known. A change makes another object of it. */
export interface Known extends ToldActor {
  readonly source: string;
  readonly id: string;
  /** With the overrides in force: what counts. */
  readonly actor: Actor;
  /** In force when it was looked up. */
  readonly overrides: readonly Override[];
}

/** Something that is known now and was not before, or the other way round. */
export type DirectoryChange =
  /**
   * An actor came, changed or went, or its overrides did. Both undefined: overrides of an actor that is not known here, as
   * those of the configuration file.
   */
  | {
      readonly kind: "actor";
      readonly source: string;
      readonly id: string;
      readonly before: Known | undefined;
      readonly after: Known | undefined;
    }
  /** A token was revoked, or is no longer. */
  | { readonly kind: "revocation"; readonly tokenHash: string; readonly revocation: Revocation | undefined }
  /** A token turned out to belong to nobody, or that is forgotten. */
  | { readonly kind: "unknown"; readonly tokenHash: string; readonly isUnknown: boolean }
  | { readonly kind: "sync"; readonly source: string; readonly state: SyncState | undefined }
  /** All there is was told for the first time, or changes of others are heard of again or no more. */
  | { readonly kind: "state"; readonly state: DirectoryState };

/** How far what is known can be relied on. */
export interface DirectoryState {
  /** Whether the store told all there is, at least once. */
  readonly loaded: boolean;
  /** Whether changes made by other processes are heard of. */
  readonly connected: boolean;
}

/** All that is known of actors, in memory: follows a store, and answers at once. */
export interface Directory extends StoreListener {
  records(): Iterable<StoreRecord>;
  byToken(tokenHash: string): Known | undefined;
  get(source: string, id: string): Known | undefined;
  /** The actors of a source, in no order, as they are when it is their turn. */
  of(source: string): Iterable<Known>;
  count(source: string): number;
  /** Names of the sources that actors are known of. */
  sources(): readonly string[];
  /** The actor with its overrides in force, for actors that are not kept here: of the configuration file, anonymous. */
  effective(actor: Actor): Actor;
  /** The overrides in force of an actor, also of one that is not known. */
  overridesOf(source: string, id: string): readonly Override[];
  /** All overrides in force, in no order. */
  overrides(): Iterable<Override>;
  /** The token's revocation, if one is in force. */
  revocation(tokenHash: string): Revocation | undefined;
  /** All revocations in force, in no order. */
  revocations(): Iterable<Revocation>;
  /** Whether the token is known to belong to nobody. */
  isUnknown(tokenHash: string): boolean;
  /** How the source's sync stands, as told last. */
  sync(source: string): SyncState | undefined;
  /** What operators wrote, in no order. */
  audit(): Iterable<AuditEntry>;
  /** Whether somebody, in any process, watches the activity. */
  isWatched(): boolean;
  state(): DirectoryState;
  /** Calls back after each change, from within it; must not throw. Returns how to stop. */
  onChange(listener: (change: DirectoryChange) => void): () => void;
}

export interface DirectoryParts {
  /** The store's clock: what expires, expires by it. */
  readonly clock: { now(): number };
  readonly log?: Pick<Log, "warn">;
}

/** Most tokens of nobody that are kept; the oldest are forgotten first. */
export const maxUnknown = 50_000;
/** How long a token of nobody is kept, at most. */
export const maxUnknownMs = 60_000;

/** A directory that knows nothing until a store tells it: `store.follow(directory)`. */
export function createDirectory({ clock, log }: DirectoryParts): Directory {
  const listeners = new Set<(change: DirectoryChange) => void>();
  const read = createRecordReader();
  const report = createReport(log);
  const known = createKnownActors(clock, read, ({ source, id }, before, after) =>
    tell({ kind: "actor", source, id, before, after }),
  );
  const marks = createMarks(read, tell, { maxUnknown });
  const { actors, overrides } = known;
  const replicas: Readonly<Record<RecordKind, Replica>> = { ...marks, actors, overrides };
  let state: DirectoryState = { loaded: false, connected: false };

  function isInForce({ expiresAt = Infinity }: Revocation): boolean {
    return expiresAt > clock.now();
  }

  function tell(change: DirectoryChange): void {
    for (const listener of listeners) listener(change);
  }

  function setState(next: DirectoryState): void {
    const before = state;
    state = next;
    if (state.loaded !== before.loaded || state.connected !== before.connected) tell({ kind: "state", state });
  }

  function apply(record: StoreRecord): void {
    // A newer version may have kinds of its own.
    const replica = Object.hasOwn(replicas, record.kind) ? replicas[record.kind] : undefined;
    if (record.value === undefined) replica?.delete(record.key);
    else {
      try {
        replica?.set(record);
      } catch (error) {
        // What was known before is better than nothing.
        replica?.entries.keep(record.key);
        report(record, error);
      }
    }
  }

  return {
    changed: (records) => records.forEach(apply),
    reloading() {
      for (const { entries } of Object.values(replicas)) entries.retell();
    },
    reloaded() {
      for (const replica of Object.values(replicas)) void sweepReplica(replica);
      setState({ ...state, loaded: true });
    },
    connected: (up) => setState({ ...state, connected: up }),
    *records() {
      // What was refused first: a token must not be let in meanwhile.
      for (const revocation of marks.revocations.entries.values()) yield revocationRecord(revocation);
      yield* known.records();
      for (const source of marks.syncs.entries.keys()) yield syncRecord(source, marks.syncs.entries.get(source) ?? {});
    },
    byToken: known.byToken,
    get: (source, id) => known.get(actorKey(source, id)),
    of: known.of,
    count: (source) => known.counts.get(source) ?? 0,
    sources: () => [...known.counts.keys()],
    effective: known.effective,
    overridesOf: (source, id) => known.inForce(actorKey(source, id)),
    overrides: known.allInForce,
    revocation(tokenHash) {
      const revocation = marks.revocations.entries.get(tokenHash);
      return revocation !== undefined && isInForce(revocation) ? revocation : undefined;
    },
    *revocations() {
      for (const revocation of marks.revocations.entries.values()) if (isInForce(revocation)) yield revocation;
    },
    isUnknown(tokenHash) {
      const leftMs = (marks.unknown.entries.get(tokenHash) ?? 0) - clock.now();
      // It may be more when the clock was set back.
      return leftMs > 0 && leftMs <= maxUnknownMs;
    },
    sync: (source) => marks.syncs.entries.get(source),
    audit: () => marks.audit.entries.values(),
    isWatched() {
      for (const end of marks.watchers.entries.values()) if (end > clock.now()) return true;
      return false;
    },
    state: () => state,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Time between two lines about records that make no sense. */
const reportMs = 10_000;

/** Says that records were left out: at once, then together. Values are not told: they are for people with access to the store. */
function createReport(log: DirectoryParts["log"]): (record: StoreRecord, error: unknown) => void {
  let leftOut = 0;
  let saidAt = -Infinity;
  return ({ kind, key }, error) => {
    leftOut++;
    if (performance.now() - saidAt < reportMs) return;
    const problem = error instanceof Error ? error.message : String(error);
    log?.warn({ kind, key, problem, leftOut }, "record of the actor store makes no sense and is left out");
    leftOut = 0;
    saidAt = performance.now();
  };
}
