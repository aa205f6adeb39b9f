// The first step of the route: who calls. Where actors come from, where what is known of them is kept, and what keeps it so.

import { hostname } from "node:os";
import { createDatabaseActorStore } from "./actors/database-store.js";
import { createDirectory, type Directory } from "./actors/directory.js";
import { createMemoryActorStore } from "./actors/memory-store.js";
import { makePepper, pepperMark, sharePepper } from "./actors/pepper.js";
import { createRedisActorStore } from "./actors/redis-store.js";
import { SourceError } from "./actors/source.js";
import type { StaticActor } from "./actors/sources/static.js";
import { createSources, type Sources } from "./actors/sources.js";
import type { ActorStore } from "./actors/store.js";
import { createSyncs, type Syncs } from "./actors/sync.js";
import { createTokenHasher, type TokenHasher } from "./actors/token.js";
import type { Config } from "./config.js";
import { UnavailableError } from "./errors.js";
import { configuredSources } from "./gateway-sources.js";
import type { Traces } from "./gateway-traces.js";
import type { Clock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import type { Readiness } from "./lib/readiness.js";
import { timed } from "./lib/timed.js";
import type { Quota } from "./quota/quota.js";
import type { Metrics } from "./telemetry/metrics.js";

/** All about actors. */
export interface ActorsOfGateway {
  readonly sources: Sources;
  readonly syncs: Syncs;
  readonly directory: Directory;
  readonly store: ActorStore;
  readonly hasher: TokenHasher;
  /** This process, as others see it. */
  readonly process: string;
  /** Puts these actors in place of those of the configuration file. */
  setStaticActors(actors: readonly StaticActor[]): void;
  close(): Promise<void>;
}

export interface ActorsParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  /** Of the data directory, where there is one and no Redis. */
  readonly database: Database | undefined;
  readonly version: string;
  readonly quota: Pick<Quota, "forget" | "reset">;
  /** Undefined: nothing is traced. */
  readonly traces: Pick<Traces, "synced"> | undefined;
}

/** What has to be told once, and the key that it is told under, before the gateway is ready. */
const condition = "actors";

/** Resolves once it is known what the store has, or that it is away: then the gateway is ready when that is made up for. */
export async function createActors(config: Config, parts: ActorsParts): Promise<ActorsOfGateway> {
  const { log, clock, metrics, readiness, quota, version, traces } = parts;
  let keyed = config.tokenPepper !== undefined;
  let isReady = false;
  const store = writtenWhenKeyed(() => keyed, await createActorStore(config, parts));
  const directory = createDirectory({ clock: { now: store.now }, log });
  const pepper = config.tokenPepper ?? makePepper();
  const hasher = createTokenHasher(pepper);
  const { all, fixed } = configuredSources(config, { clock, hasher, version });
  const own = `${hostname()}:${process.pid}`;
  const stopping = new AbortController();
  let staticActors = config.staticActors;

  const common = { sources: all, store, directory, hasher, log, process: own };
  const sources = createSources(
    {
      ...common,
      isReady: () => isReady,
      onLookup: metrics.sourceAsked,
      onIntervalChanged(actor, feature) {
        quota.reset(actor, feature).catch((error: unknown) => {
          log.warn({ actor: actor.id, source: actor.source, feature, err: error }, "usage could not be reset");
        });
      },
    },
    config.sources,
  );
  const syncs = createSyncs(
    {
      ...common,
      onEnded(source, summary) {
        metrics.syncEnded(source, summary.outcome);
        traces?.synced(source, summary);
      },
    },
    { intervalMs: config.sources.syncIntervalMs, shrinkGuard: config.sources.shrinkGuard },
  );

  const tellReadiness = (): void => {
    const wasReady = isReady;
    isReady = keyed && directory.state().loaded;
    readiness.set(condition, isReady);
    if (isReady && !wasReady) warnOfVoidRevocations(directory, hasher, log);
  };
  tellReadiness();
  directory.onChange((change) => {
    if (change.kind === "actor") quota.forget(change);
    else if (change.kind === "state") tellReadiness();
  });
  healthFollowsSyncs(directory, sources);
  tellMetrics(metrics, { sources, syncs, directory, store });

  await store.follow(directory);
  if (!keyed)
    await sharePepper(
      store,
      pepper,
      (shared) => {
        hasher.rekey(shared);
        fixed.update(staticActors);
        keyed = true;
        tellReadiness();
      },
      stopping.signal,
    );
  syncs.start();

  return {
    sources,
    syncs,
    directory,
    store,
    hasher,
    process: own,
    setStaticActors(actors) {
      staticActors = actors;
      fixed.update(actors);
    },
    async close() {
      stopping.abort();
      await syncs.close();
      sources.close();
      await Promise.all(all.map(async (source) => source.close?.()));
      await store.close();
    },
  };
}

/** When callers may try again before anything may be written. */
const notKeyedRetryMs = 1_000;

/** `store`, written to only when hashes of tokens are those that all processes make: others would take the place of these. */
function writtenWhenKeyed(isKeyed: () => boolean, store: ActorStore): ActorStore {
  const unavailable = () =>
    new UnavailableError("ACTOR_STORE_UNAVAILABLE", "the key of token hashes is not known yet", notKeyedRetryMs);
  return {
    ...store,
    write: (records, lease) => (isKeyed() ? store.write(records, lease) : Promise.reject(unavailable())),
  };
}

/** Redis for any number of processes, the data directory or memory for one. */
async function createActorStore(config: Config, parts: ActorsParts): Promise<ActorStore> {
  const methods = ["write", "acquire", "holder", "take", "keep"] as const;
  return timed(await openActorStore(config, parts), methods, (method) => parts.metrics.storeTimer("actors", method));
}

async function openActorStore(config: Config, parts: ActorsParts): Promise<ActorStore> {
  const { clock, log, metrics, database } = parts;
  const { redisEndpoint, redisPrefix } = config;
  if (database) return createDatabaseActorStore({ clock, database, log });
  if (redisEndpoint === undefined) return createMemoryActorStore({ clock });
  // Takes time and memory at the start, for those who use it.
  const { connectRedis } = await import("./lib/redis.js");
  const redis = connectRedis(redisEndpoint, "actors", { log });
  const messages = connectRedis(redisEndpoint, "messages", { log });
  const store = createRedisActorStore({ redis, messages, log }, { prefix: redisPrefix });
  metrics.gauge("actorStoreUp", () => (store.state().up ? 1 : 0));
  return {
    ...store,
    async close() {
      await store.close();
      await Promise.all([redis.close(), messages.close()]);
    },
  };
}

/** Under another pepper a token has another hash. */
function warnOfVoidRevocations(directory: Directory, hasher: TokenHasher, log: Log): void {
  const own = pepperMark(hasher);
  const revocations = [...directory.revocations()].filter(({ pepper = own }) => pepper !== own).length;
  if (revocations === 0) return;
  log.error({ revocations }, "revocations refuse nobody: the token pepper was another one. Revoke these tokens again");
}

/** One process syncs, and all know how that went: what it found of the source holds for them too. */
function healthFollowsSyncs(directory: Directory, sources: Sources): void {
  const seen = new Map<string, string>();
  directory.onChange((change) => {
    const last = change.kind === "sync" ? change.state?.last : undefined;
    if (change.kind !== "sync" || !last || seen.get(change.source) === last.id) return;
    seen.set(change.source, last.id);
    const { outcome, endedAt, error = "sync failed" } = last;
    if (outcome === "failed") sources.asked(change.source, new SourceError(error), endedAt);
    else if (outcome !== "canceled") sources.asked(change.source, undefined, endedAt);
  });
}

function tellMetrics(
  metrics: Metrics,
  parts: {
    readonly sources: Sources;
    readonly syncs: Syncs;
    readonly directory: Directory;
    readonly store: Pick<ActorStore, "now">;
  },
): void {
  const { sources, syncs, directory, store } = parts;
  const remote = sources.all.filter(({ local }) => !local).map(({ name }) => name);
  metrics.gaugeOf("actorsKnown", () => remote.map((name) => [name, directory.count(name)]));
  metrics.gaugeOf("sourceUp", () => remote.map((name) => [name, isUp(sources.health(name).state) ? 1 : 0]));
  metrics.gaugeOf("syncAge", () =>
    syncs.sources.flatMap((name) => {
      const { completedAt } = syncs.state(name);
      return completedAt === undefined ? [] : [[name, Math.max(0, store.now() - completedAt) / 1_000] as const];
    }),
  );
  metrics.gaugeOf("syncHeld", () => syncs.sources.map((name) => [name, syncs.state(name).last?.hold ? 1 : 0]));
}

/** Nothing is known against a source that was not asked yet. */
function isUp(state: ReturnType<Sources["health"]>["state"]): boolean {
  return state === "available" || state === "unknown";
}
