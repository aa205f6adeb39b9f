import { createDirectory } from "../../src/actors/directory.js";
import { createMemoryActorStore } from "../../src/actors/memory-store.js";
import type { ActorStore } from "../../src/actors/store.js";
import { createSyncs } from "../../src/actors/sync.js";
import type { SyncEvent } from "../../src/actors/sync-events.js";
import { createTokenHasher } from "../../src/actors/token.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { recordingLog } from "../helpers/log.js";
import { scriptedSource } from "../helpers/scripted-source.js";
import { settled } from "../helpers/time.js";

/** Time between the syncs of `setUp`. */
export const intervalMs = 120_000;

/** Syncs over a memory store: of `portal`, which has 30 actors, and of `other`, which has none. */
export async function setUp() {
  const clock = fakeClock();
  const store = createMemoryActorStore({ clock });
  const directory = createDirectory({ clock });
  const log = recordingLog();
  await settled(store.follow(directory));
  const source = scriptedSource();
  for (let at = 0; at < 30; at++) source.set(`a${at}`);
  const start = (process: string, on: ActorStore = store, every = intervalMs, pepper = "p") =>
    createSyncs(
      {
        sources: [source, scriptedSource("other")],
        store: on,
        directory,
        log,
        process,
        hasher: createTokenHasher(pepper),
      },
      { intervalMs: every, shrinkGuard: 0.2 },
    );
  /** Stops a listing where it is. */
  const block = () => {
    let go = (): void => {};
    let reached = (): void => {};
    const blocked = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const gone = new Promise<void>((resolve) => {
      go = resolve;
    });
    source.beforePage = async (pages) => {
      if (pages !== 1) return;
      reached();
      await gone;
    };
    return { blocked, go: () => go() };
  };
  const messages = () => log.lines.flatMap(({ level, message }) => (level === "debug" ? [] : [message]));
  return { clock, store, directory, log, messages, source, start, block };
}

/** All events, once there are no more. */
export async function gather(events: AsyncIterable<SyncEvent>): Promise<SyncEvent[]> {
  const list: SyncEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

/** The same, with as little time passing as it needs. */
export const all = (events: AsyncIterable<SyncEvent>): Promise<SyncEvent[]> => settled(gather(events));

/** Of each event its source and kind. */
export const kinds = (events: readonly SyncEvent[]): string[] => events.map(({ source, kind }) => `${source} ${kind}`);

/** How the sync ended. */
export function endOf(events: readonly SyncEvent[]) {
  const last = events.at(-1);
  if (last?.kind !== "finished") throw new Error("the sync did not finish");
  return last.summary;
}
