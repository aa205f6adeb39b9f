// Where small stores are kept, for the files that run their contracts: one of each for all the tests of a suite.

import { afterAll, beforeAll } from "vitest";
import { type Database, openDatabase } from "../../src/lib/database.js";
import { connectRedis, type RedisConnection, type RedisRole } from "../../src/lib/redis.js";
import { type DataDir, dataDir } from "./data-dir.js";
import { type RedisServer, startRedis } from "./redis.js";

/** A database from before the suite's first test to after its last. */
export function sharedDatabase(): { readonly database: Database } {
  let dir: DataDir;
  let database: Database;
  beforeAll(async () => {
    dir = await dataDir();
    database = await openDatabase(dir.path);
  });
  afterAll(async () => {
    await database.close();
    await dir[Symbol.asyncDispose]();
  });
  return {
    get database() {
      return database;
    },
  };
}

/** A Redis server, and a connection to it, from before the suite's first test to after its last. */
export function sharedRedis(role: RedisRole): { readonly server: RedisServer; readonly redis: RedisConnection } {
  let server: RedisServer;
  let redis: RedisConnection;
  beforeAll(async () => {
    server = await startRedis();
    // What is asked here is what is kept, not how soon: a busy machine is waited for.
    redis = connectRedis(server.endpoint, role, {}, { commandTimeoutMs: 30_000 });
    await new Promise<void>((resolve) => redis.onReady(() => resolve()));
  });
  afterAll(async () => {
    await redis.close();
    await server[Symbol.asyncDispose]();
  });
  return {
    get server() {
      return server;
    },
    get redis() {
      return redis;
    },
  };
}
