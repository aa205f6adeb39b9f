import type { Actor, Feature } from "../../src/actors/actor.js";
import { createDirectory } from "../../src/actors/directory.js";
import type { FreshnessOptions } from "../../src/actors/freshness.js";
import type { LookupOutcome } from "../../src/actors/lookups.js";
import { createMemoryActorStore } from "../../src/actors/memory-store.js";
import type { Source } from "../../src/actors/source.js";
import { createStaticSource } from "../../src/actors/sources/static.js";
import { createSources } from "../../src/actors/sources.js";
import type { ActorStore } from "../../src/actors/store.js";
import { createTokenHasher } from "../../src/actors/token.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { recordingLog } from "../helpers/log.js";
import { makeActor } from "../helpers/make-actor.js";
import { scriptedSource } from "../helpers/scripted-source.js";
import { settled } from "../helpers/time.js";

export const hour = 3_600_000;
export const hasher = createTokenHasher("pepper");

/** Sources over a memory store: one of the configuration, and `portal`, which says what it is told to. */
export async function setUp(
  options: {
    source?: Partial<Source>;
    listed?: boolean;
    store?: Partial<ActorStore>;
    freshness?: Partial<FreshnessOptions>;
  } = {},
) {
  const clock = fakeClock();
  const store = { ...createMemoryActorStore({ clock }), ...options.store };
  const directory = createDirectory({ clock });
  await settled(store.follow(directory));
  const source = scriptedSource("portal", options.source);
  if (!options.listed) delete (source as Source).list;
  const fixed = createStaticSource({ hasher }, [
    {
      actor: makeActor({ id: "fixed" }),
      tokenSha256: ["714061d9ffc92df2e0e600853b4d7a9501b60a50cb2d030e4177e8e02529245e"],
    },
  ]);
  const log = recordingLog();
  const outcomes: LookupOutcome[] = [];
  const resets: string[] = [];
  const start = (process: string, on: ActorStore = store) =>
    createSources(
      {
        sources: [fixed, source],
        store: on,
        directory,
        hasher,
        log,
        process,
        onIntervalChanged: (actor: Actor, feature: Feature) => resets.push(`${actor.id} ${feature}`),
        onLookup: (_, outcome) => outcomes.push(outcome),
      },
      { cacheTtlMs: 24 * hour, maxStaleMs: 24 * hour, syncIntervalMs: 120_000, ...options.freshness },
    );
  const sources = start("one");
  const find = (token: string | undefined, by = sources) => settled(by.find(token));
  return { clock, store, directory, source, sources, start, find, outcomes, resets, log };
}

export const unavailable = { name: "UnavailableError", reason: "SOURCE_UNAVAILABLE" };
export const invalid = { name: "UnauthenticatedError", reason: "TOKEN_INVALID" };
