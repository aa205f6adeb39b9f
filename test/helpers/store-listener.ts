// Listeners of actor stores that remember what they were told.

import type { RecordKind, StoreListener, StoreRecord } from "../../src/actors/store.js";

/** What a listener knows after all it was told. */
export interface RecordingListener extends StoreListener {
  /** Values by kind and key, each as `value` or `value@expiresAt`. */
  readonly world: ReadonlyMap<string, string>;
  /** All that was told, in order: records as `kind key=value`, and the words of the other calls. */
  readonly events: readonly string[];
  /** Most records told at once. */
  readonly mostAtOnce: number;
  get(kind: RecordKind, key: string): string | undefined;
  /** Resolves once it is so; asked after everything that is told. */
  until(question: () => boolean): Promise<void>;
}

export function recordingListener(): RecordingListener {
  const world = new Map<string, string>();
  const events: string[] = [];
  const waiting = new Set<() => void>();
  let untold: Set<string> | undefined;
  let mostAtOnce = 0;

  function told(event: string): void {
    events.push(event);
    for (const check of waiting) check();
  }

  function tell({ kind, key, value, expiresAt }: StoreRecord): void {
    const name = `${kind} ${key}`;
    untold?.delete(name);
    if (value === undefined) world.delete(name);
    else world.set(name, expiresAt === undefined ? value : `${value}@${expiresAt}`);
    events.push(`${name}=${value}`);
  }

  return {
    world,
    events,
    get mostAtOnce() {
      return mostAtOnce;
    },
    get: (kind, key) => world.get(`${kind} ${key}`),
    changed(records) {
      mostAtOnce = Math.max(mostAtOnce, records.length);
      records.forEach(tell);
      for (const check of waiting) check();
    },
    reloading() {
      untold = new Set(world.keys());
      told("reloading");
    },
    reloaded() {
      for (const name of untold ?? []) world.delete(name);
      untold = undefined;
      told("reloaded");
    },
    connected: (up) => told(up ? "connected" : "disconnected"),
    until(question) {
      return new Promise((resolve) => {
        const check = (): void => {
          if (!question()) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      });
    },
  };
}
