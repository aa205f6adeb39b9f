// How what is known of actors is written in the store's records. `record-reader.ts` reads them.

import type { Actor } from "./actor.js";
import { type Override, overrideName } from "./override.js";
import type { StoreRecord } from "./store.js";
import type { SyncState } from "./sync-state.js";

/** A token that is refused whatever its source says. */
export interface Revocation {
  /** As `TokenHasher.hash` makes it. */
  readonly tokenHash: string;
  /** Why, as the operator put it. */
  readonly reason: string;
  readonly revokedBy: string;
  /** ms since the epoch. */
  readonly revokedAt: number;
  /** When it ends by itself, ms since the epoch by the store's clock; absent: never. */
  readonly expiresAt?: number;
  /** `pepperMark` of the pepper that the token is hashed with: under another one, the revocation refuses nobody. */
  readonly pepper?: string;
}

/** An actor as its source told of it, with the hashes of the tokens it is known by. */
export interface ToldActor {
  readonly told: Actor;
  readonly tokenHashes: readonly string[];
  /** When each of the tokens was confirmed last, ms since the epoch; absent where the source tells of all of them at once. */
  readonly tokenTimes?: readonly number[] | undefined;
  /** Since when its source, though complete, does not list it, or not so that it makes sense; absent while it does. */
  readonly unlistedAt?: number | undefined;
  /** When it is forgotten, ms since the epoch by the store's clock; absent: never. */
  readonly expiresAt?: number | undefined;
}

/** Marks the form of the values. A process leaves alone what has another: a newer one wrote it. */
export const recordVersion = 1;

/** The key of an actor. Names of sources have no slash. */
export function actorKey(source: string, id: string): string {
  // A half of a surrogate pair would come back as something else.
  const key = `${source}/${id}`;
  return key.isWellFormed() ? key : key.toWellFormed();
}

/** The source and id that an actor's key is made of. */
export function parseActorKey(key: string): { readonly source: string; readonly id: string } {
  const slash = key.indexOf("/");
  return { source: key.slice(0, slash), id: key.slice(slash + 1) };
}

export function actorRecord({ told, tokenHashes, tokenTimes, unlistedAt, expiresAt }: ToldActor): StoreRecord {
  const { name, source, id, accessEnabled, withheld } = told;
  const updatedAt = told.updatedAt.getTime();
  const state = { accessEnabled, withheld, updatedAt, unlistedAt };
  const own = JSON.stringify({ v: recordVersion, name, ...state, tokenHashes, tokenTimes });
  const value = `${own.slice(0, -1)},"features":${featuresText(told.features)}}`;
  const record = { kind: "actors", key: actorKey(source, id), value } as const;
  return expiresAt === undefined ? record : { ...record, expiresAt };
}

const featuresTexts = new WeakMap<Actor["features"], string>();

/** A text within the record's: thousands of actors have the same, which is written and read once. */
function featuresText(features: Actor["features"]): string {
  let text = featuresTexts.get(features);
  if (text === undefined) {
    text = JSON.stringify(JSON.stringify(features));
    featuresTexts.set(features, text);
  }
  return text;
}

export function actorRemoval(source: string, id: string): StoreRecord {
  return { kind: "actors", key: actorKey(source, id), value: undefined };
}

function overrideKey(source: string, id: string, name: string): string {
  return `${name} ${actorKey(source, id)}`;
}

export function overrideRecord({ source, id, expiresAt, ...rest }: Override): StoreRecord {
  const key = overrideKey(source, id, overrideName(rest.subject));
  const value = JSON.stringify({ v: recordVersion, ...rest });
  return { kind: "overrides", key, value, ...(expiresAt !== undefined && { expiresAt }) };
}

export function overrideRemoval(source: string, id: string, name: string): StoreRecord {
  return { kind: "overrides", key: overrideKey(source, id, name), value: undefined };
}

export function revocationRecord({ tokenHash, expiresAt, ...rest }: Revocation): StoreRecord {
  const value = JSON.stringify({ v: recordVersion, ...rest });
  return { kind: "revocations", key: tokenHash, value, ...(expiresAt !== undefined && { expiresAt }) };
}

export function revocationRemoval(tokenHash: string): StoreRecord {
  return { kind: "revocations", key: tokenHash, value: undefined };
}

/** That a token belongs to nobody, until `expiresAt`. */
export function unknownRecord(tokenHash: string, expiresAt: number): StoreRecord {
  return { kind: "unknown", key: tokenHash, value: JSON.stringify({ v: recordVersion }), expiresAt };
}

export function unknownRemoval(tokenHash: string): StoreRecord {
  return { kind: "unknown", key: tokenHash, value: undefined };
}

export function syncRecord(source: string, state: SyncState): StoreRecord {
  return { kind: "syncs", key: source, value: JSON.stringify({ v: recordVersion, ...state }) };
}

/** That somebody watches the activity, until `expiresAt`; `watcher` sets it apart from others who do. */
export function watcherRecord(watcher: string, expiresAt: number): StoreRecord {
  return { kind: "watchers", key: watcher, value: JSON.stringify({ v: recordVersion }), expiresAt };
}

export function watcherRemoval(watcher: string): StoreRecord {
  return { kind: "watchers", key: watcher, value: undefined };
}
