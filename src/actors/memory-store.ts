import type { Clock } from "../lib/clock.js";
import { createLocal, turn } from "./local.js";
import { type ActorStore, checkRecords, maxRecords, type StoreListener, type StoreRecord } from "./store.js";

/** A store of actors for one process, forgotten at its end. */
export function createMemoryActorStore({ clock }: { readonly clock: Clock }): ActorStore {
  /** What was written before anybody listened. Afterwards the listener has it all, and it need not be kept twice. */
  const untold = new Map<string, StoreRecord>();
  const kept = new Map<string, string>();
  const local = createLocal(clock, apply);
  let listener: StoreListener | undefined;

  function apply(changes: readonly StoreRecord[]): void {
    local.expire(changes);
    for (const record of changes) {
      const name = `${record.kind} ${record.key}`;
      if (listener === undefined && record.value !== undefined) untold.set(name, record);
      else untold.delete(name);
    }
    listener?.changed(changes);
  }

  /** Takes some of what was not told yet; what has expired is left out. */
  function takeUntold(): StoreRecord[] {
    const taken: StoreRecord[] = [];
    for (const [name, record] of untold) {
      if (taken.length === maxRecords) break;
      untold.delete(name);
      if ((record.expiresAt ?? Infinity) > clock.now()) taken.push(record);
    }
    return taken;
  }

  return {
    ...local,
    async follow(given) {
      listener = given;
      listener.reloading();
      while (untold.size > 0) {
        const records = takeUntold();
        if (records.length > 0) listener.changed(records);
        await turn();
      }
      listener.reloaded();
      listener.connected(true);
    },
    async write(changes, lease) {
      checkRecords(changes);
      local.check(lease);
      apply(changes);
      await turn();
    },
    async keep(name, value) {
      const known = kept.get(name) ?? value;
      kept.set(name, known);
      return known;
    },
    async close() {
      local.stop();
    },
  };
}
