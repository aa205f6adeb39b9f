// What a dry run finds, on its way to other processes that watch it.

import type { ActorStore } from "./store.js";
import type { SyncChange } from "./sync-run.js";

/** Changes that one sync found. */
export interface FoundChanges {
  /** Of the sync. */
  readonly id: string;
  readonly changes: readonly SyncChange[];
  /** Nothing follows. */
  readonly last: boolean;
}

/** Most changes in one message. */
export const maxPublished = 200;

export function publishChanges(store: Pick<ActorStore, "publish">, source: string, found: FoundChanges): void {
  store.publish(channel(source), JSON.stringify(found));
}

/** Calls back with all that is published of syncs of the source. Returns how to stop. */
export function subscribeChanges(
  store: Pick<ActorStore, "subscribe">,
  source: string,
  listener: (found: FoundChanges) => void,
): () => void {
  return store.subscribe(channel(source), (message) => {
    const found = parse(message);
    if (found) listener(found);
  });
}

function channel(source: string): string {
  return `sync/${source}`;
}

/** Undefined for what another version published. */
function parse(message: string): FoundChanges | undefined {
  try {
    const found = JSON.parse(message) as Partial<FoundChanges>;
    return typeof found.id === "string" && Array.isArray(found.changes) ? (found as FoundChanges) : undefined;
  } catch {
    return undefined;
  }
}
