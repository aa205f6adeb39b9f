// Administration: who may, what can be done, and what is told to those who look on.

import { createAuditLog } from "./actors/audit.js";
import { createActorEdits } from "./actors/edits.js";
import { createRoster } from "./actors/roster.js";
import type { AdminParts } from "./api/admin.js";
import { type AdminAuthenticator, createAdminAuthenticator } from "./auth/admin.js";
import type { Config } from "./config.js";
import type { ActorsOfGateway } from "./gateway-actors.js";
import { samsIntrospection } from "./gateway-back-ends.js";
import type { RouteOfRequests } from "./gateway-route.js";
import type { HttpRoute } from "./http/http.js";
import { maintenanceRoutes } from "./http/maintenance.js";
import type { Clock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import { createRelayWatch, type RelayWatch } from "./relay-watch.js";
import { createActivity } from "./usage/activity.js";
import { createDatabaseTotals } from "./usage/database-totals.js";
import { createMemoryTotals } from "./usage/memory-totals.js";
import type { Notifier } from "./usage/notify.js";
import { createRedisTotals } from "./usage/redis-totals.js";
import { createUsageTotals, type UsageTotals } from "./usage/totals.js";

export interface Administration {
  readonly admins: AdminAuthenticator;
  readonly parts: AdminParts;
  /** For tools that know the existing gateway; none without SAMS. */
  readonly routes: readonly HttpRoute[];
  /** Told of each request. */
  readonly watch: RelayWatch;
  close(): Promise<void>;
}

export interface AdministrationParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly version: string;
  readonly actors: ActorsOfGateway;
  /** Of the data directory, where there is one and no Redis. */
  readonly database: Database | undefined;
  /** Undefined: nobody is alerted. */
  readonly notifier: Notifier | undefined;
  readonly route: Pick<RouteOfRequests, "quota" | "relay" | "flagged">;
}

/** The channel by which processes are told that an actor's usage was changed. */
const forgetChannel = "forget";

export async function createAdministration(config: Config, parts: AdministrationParts): Promise<Administration> {
  const { log, clock, actors, route, notifier } = parts;
  const { store, directory, sources, syncs, hasher, process } = actors;
  const { quota } = route;
  const { totals, close } = await createTotals(config, parts);
  const sams = samsIntrospection(config, parts);
  const activity = createActivity({ store, directory, process });
  const roster = createRoster({ sources: sources.all, directory });
  const stopForgetting = store.subscribe(forgetChannel, (message) => {
    quota.forget(JSON.parse(message) as { source: string; id: string });
  });
  const admins = createAdminAuthenticator(
    { clock, ...(sams && { introspect: sams.introspect }) },
    { tokens: config.adminTokens },
  );
  const { introspect } = admins;
  const { flagged } = route;
  const audit = createAuditLog({ store, directory });
  return {
    admins,
    routes: introspect ? maintenanceRoutes({ introspect, flagged, audit, log }) : [],
    parts: {
      flagged,
      notifier,
      log,
      roster,
      directory,
      sources,
      syncs,
      hasher,
      quota,
      totals,
      activity,
      audit,
      edits: createActorEdits({ store, directory, hasher }),
      explainer: { sources, catalogue: route.relay.catalogue, embeddings: route.relay.embeddings, quota },
      isStale: sources.isStale,
      forget: ({ source, id }) => store.publish(forgetChannel, JSON.stringify({ source, id })),
    },
    watch: createRelayWatch({ activity, totals, notifier }),
    async close() {
      stopForgetting();
      await notifier?.close();
      await sams?.close();
      await totals.close();
      await close();
    },
  };
}

/** Redis for any number of processes, the data directory or memory for one. */
async function createTotals(
  { redisEndpoint, redisPrefix }: Config,
  { log, clock, database }: Pick<AdministrationParts, "log" | "clock" | "database">,
): Promise<{ readonly totals: UsageTotals; close(): Promise<void> }> {
  if (redisEndpoint === undefined) {
    const store = database ? await createDatabaseTotals({ database, clock }) : createMemoryTotals();
    return { totals: createUsageTotals({ store, log }), close: async () => undefined };
  }
  // Takes time and memory at the start, for those who use it.
  const { connectRedis } = await import("./lib/redis.js");
  const redis = connectRedis(redisEndpoint, "totals", { log });
  const store = createRedisTotals({ redis }, { prefix: redisPrefix });
  return { totals: createUsageTotals({ store, log }), close: redis.close };
}
