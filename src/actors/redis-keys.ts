// Names of the Redis store's keys and channels. All have one hash tag: in a Cluster, a script's keys must be in one slot.

import { recordKinds } from "./scripts.js";

const tag = "actors";

/** The slot that the tag is in. */
export const actorsSlot = 12_967;

export interface ActorStoreKeys {
  /** In the order of the scripts' KEYS. */
  readonly records: readonly string[];
  readonly era: string;
  lease(name: string): string;
  permits(name: string): string;
  kept(name: string): string;
  channel(name: string): string;
  /** The channel that tells of changes. */
  readonly changed: string;
}

export function createActorStoreKeys(prefix: string): ActorStoreKeys {
  const base = `${prefix}{${tag}}:`;
  return {
    era: `${base}era`,
    records: [`${base}changes`, `${base}expiry`, `${base}era`, ...recordKinds.map((kind) => `${base}records:${kind}`)],
    lease: (name) => `${base}lease:${name}`,
    permits: (name) => `${base}permits:${name}`,
    kept: (name) => `${base}kept:${name}`,
    channel: (name) => `${base}channel:${name}`,
    changed: `${base}changed`,
  };
}
