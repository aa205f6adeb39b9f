import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { connectRedis, type RedisConnection } from "../../src/lib/redis.js";
import { createRedisQuotaStore } from "../../src/quota/redis-store.js";
import { describeQuotaStore, type MakeStore } from "../contract/quota-store.js";
import { startCluster, startRedis, until } from "../helpers/redis.js";

interface Started extends AsyncDisposable {
  readonly endpoint: string;
}

/** Stores on one server, each with keys of its own. */
function storesOn(start: () => Promise<Started>): MakeStore {
  let server: Started;
  let redis: RedisConnection;
  beforeAll(async () => {
    server = await start();
    redis = connectRedis(server.endpoint, "quota");
    const store = createRedisQuotaStore({ redis });
    await until(async () => store.state().up);
    await store.close();
  });
  afterAll(async () => {
    await redis.close();
    await server[Symbol.asyncDispose]();
  });
  return async ({ leaseMs }) => ({ store: createRedisQuotaStore({ redis }, { prefix: `${randomUUID()}:`, leaseMs }) });
}

describeQuotaStore(
  "Redis",
  storesOn(() => startRedis()),
);
describeQuotaStore(
  "Redis Cluster",
  storesOn(() => startCluster()),
);
