// The actors of a directory, found by id and by token, and the overrides that apply to them.

import { createWideMap } from "../lib/wide-map.js";
import type { Actor } from "./actor.js";
import type { Known } from "./directory.js";
import { applyOverrides, type Override } from "./override.js";
import type { RecordReader } from "./record-reader.js";
import { actorKey, actorRecord, overrideRecord, type ToldActor } from "./records.js";
import { createReplicaMap, type Place, type Replica } from "./replica.js";
import type { StoreRecord } from "./store.js";
import { createTokenIndex } from "./token-index.js";

/** Called with an actor as it was and as it is. Both undefined: its overrides changed, and it is not known. */
export type OnActor = (who: { source: string; id: string }, before?: Known, after?: Known) => void;

export interface KnownActors {
  readonly actors: Replica;
  readonly overrides: Replica;
  get(key: string): Known | undefined;
  byToken(tokenHash: string): Known | undefined;
  of(source: string): Iterable<Known>;
  /** How many there are of each source. */
  readonly counts: ReadonlyMap<string, number>;
  /** The actor with the overrides in force. */
  effective(actor: Actor): Actor;
  inForce(key: string): readonly Override[];
  allInForce(): Iterable<Override>;
  /** Actors and overrides as they were told. */
  records(): Iterable<StoreRecord>;
}

interface ActorEntry extends Known {
  /** When the first of its overrides ends. */
  readonly until: number;
  /** When the record goes by itself. */
  readonly expiresAt: number | undefined;
}

export function createKnownActors(clock: { now(): number }, read: RecordReader, onActor: OnActor): KnownActors {
  const actors = createReplicaMap<ActorEntry>(createWideMap());
  const overrides = createReplicaMap<Override>();
  const lists = createLists();
  const tokens = createTokenIndex(laterTold);
  const counts = new Map<string, number>();

  function count(source: string, change: number): void {
    const next = (counts.get(source) ?? 0) + change;
    if (next > 0) counts.set(source, next);
    else counts.delete(source);
  }

  function put(key: string, given: ToldActor): ActorEntry {
    const before = actors.get(key);
    const { told, tokenHashes, tokenTimes, unlistedAt, expiresAt } = given;
    const { source, id } = told;
    const list = inForce(key);
    const entry = {
      source,
      id,
      told,
      actor: applyOverrides(told, list),
      tokenHashes,
      tokenTimes,
      unlistedAt,
      expiresAt,
      overrides: list,
      until: endOf(list),
    };
    const place = actors.set(key, entry);
    if (before === undefined) count(source, 1);
    tokens.replace(place, before?.tokenHashes ?? [], tokenHashes);
    onActor(entry, before, entry);
    return entry;
  }

  /** The entry, with overrides that have ended taken off. */
  function current(entry: ActorEntry | undefined): Known | undefined {
    if (entry === undefined || entry.until === Infinity || entry.until > clock.now()) return entry;
    return put(actorKey(entry.source, entry.id), entry);
  }

  function isInForce({ expiresAt = Infinity }: Override): boolean {
    return expiresAt > clock.now();
  }

  function inForce(key: string): readonly Override[] {
    const list = lists.get(key);
    return list.every(isInForce) ? list : list.filter(isInForce);
  }

  function replaceOverride(key: string, before: Override | undefined, after: Override | undefined): void {
    const { source, id } = (after ?? before) as Override;
    const whose = actorKey(source, id);
    lists.replace(whose, before, after);
    if (after === undefined) overrides.delete(key);
    else overrides.set(key, after);
    const entry = actors.get(whose);
    if (entry === undefined) onActor({ source, id });
    else put(whose, entry);
  }

  return {
    counts,
    inForce,
    get: (key) => current(actors.get(key)),
    actors: {
      entries: actors,
      set(record) {
        put(record.key, read.actor(record));
      },
      delete(key) {
        const place = actors.place(key);
        if (place === undefined) return;
        const before = place.value;
        actors.delete(key);
        count(before.source, -1);
        tokens.replace(place, before.tokenHashes, []);
        onActor(before, before);
      },
    },
    overrides: {
      entries: overrides,
      set: (record) => replaceOverride(record.key, overrides.get(record.key), read.override(record)),
      delete(key) {
        const before = overrides.get(key);
        if (before !== undefined) replaceOverride(key, before, undefined);
      },
    },
    byToken: (tokenHash) => current(tokens.get(tokenHash)?.value),
    *of(source) {
      for (const key of actors.keys()) {
        const entry = actors.get(key);
        const known = entry?.source === source ? current(entry) : undefined;
        if (known !== undefined) yield known;
      }
    },
    effective: (actor) => (lists.size === 0 ? actor : applyOverrides(actor, inForce(actorKey(actor.source, actor.id)))),
    *allInForce() {
      for (const override of overrides.values()) if (isInForce(override)) yield override;
    },
    *records() {
      for (const override of overrides.values()) yield overrideRecord(override);
      for (const entry of actors.values()) yield actorRecord(entry);
    },
  };
}

/** Of actors that claim one token: the one told of last, then the one whose id comes first. */
function laterTold(one: Place<ActorEntry>, other: Place<ActorEntry>): Place<ActorEntry> {
  const [a, b] = [one.value, other.value];
  const later = a.told.updatedAt.getTime() - b.told.updatedAt.getTime();
  return later > 0 || (later === 0 && actorKey(a.source, a.id) < actorKey(b.source, b.id)) ? one : other;
}

function endOf(overrides: readonly Override[]): number {
  return Math.min(...overrides.map(({ expiresAt = Infinity }) => expiresAt));
}

const none: readonly Override[] = [];

/** Overrides by the key of the actor they are of. */
function createLists() {
  const lists = new Map<string, readonly Override[]>();
  return {
    get size() {
      return lists.size;
    },
    get: (key: string): readonly Override[] => lists.get(key) ?? none,
    replace(key: string, before: Override | undefined, after: Override | undefined): void {
      const list = (lists.get(key) ?? none).filter((each) => each !== before);
      if (after !== undefined) list.push(after);
      if (list.length > 0) lists.set(key, list);
      else lists.delete(key);
    },
  };
}
