import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { connectRedis, type RedisConnection } from "../../src/lib/redis.js";
import { createRedisQuotaStore } from "../../src/quota/redis-store.js";
import type { QuotaStore } from "../../src/quota/store.js";
import { describeQuotaStore, type MakeStore } from "../contract/quota-store.js";
import { startCluster, startRedis, until } from "../helpers/redis.js";

/** These are about what is counted: a machine that is late to answer is no fault of it. */
const timeoutMs = 5_000;

interface Started extends AsyncDisposable {
  readonly endpoint: string;
}

/** Stores on one server, each with keys of its own. */
function storesOn(start: () => Promise<Started>): MakeStore {
  let server: Started;
  let redis: RedisConnection;
  const stores: QuotaStore[] = [];
  beforeAll(async () => {
    server = await start();
    redis = connectRedis(server.endpoint, "quota");
    const store = createRedisQuotaStore({ redis });
    await until(async () => store.state().up);
    await store.close();
  });
  afterAll(async () => {
    // Each would go on asking whether there is a server.
    await Promise.all(stores.map((store) => store.close()));
    await redis.close();
    await server[Symbol.asyncDispose]();
  });
  return async (settings) => {
    const store = createRedisQuotaStore({ redis }, { prefix: `${randomUUID()}:`, ...settings, timeoutMs });
    stores.push(store);
    return { store };
  };
}

describeQuotaStore(
  "Redis",
  storesOn(() => startRedis()),
  { together: true },
);
describeQuotaStore(
  "Redis Cluster",
  storesOn(() => startCluster()),
  { together: true },
);
