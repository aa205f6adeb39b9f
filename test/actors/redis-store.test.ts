import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { createRedisActorStore } from "../../src/actors/redis-store.js";
import { connectRedis } from "../../src/lib/redis.js";
import { describeActorStore, describeSharedActorStore, type MakeActorStores } from "../contract/actor-store.js";
import { startCluster, startRedis, startSentinel, until } from "../helpers/redis.js";

interface Started extends AsyncDisposable {
  readonly endpoint: string;
}

/** Stores on one server, each set of data with keys of its own, each store with connections of its own. */
function storesOn(start: () => Promise<Started>): MakeActorStores {
  let server: Started;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server[Symbol.asyncDispose]());
  return async () => {
    const prefix = `${randomUUID()}:`;
    return {
      async open() {
        const redis = connectRedis(server.endpoint, "actors");
        const messages = connectRedis(server.endpoint, "messages");
        const store = createRedisActorStore({ redis, messages }, { prefix });
        await until(async () => store.state().up);
        return {
          ...store,
          async close() {
            await store.close();
            await Promise.all([redis.close(), messages.close()]);
          },
        };
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  };
}

const single = (): Promise<Started> => startRedis();
const cluster = (): Promise<Started> => startCluster();
const sentinel = (): Promise<Started> => startSentinel();
describeActorStore("Redis", storesOn(single));
describeSharedActorStore("Redis", storesOn(single));
describeActorStore("Redis Cluster", storesOn(cluster));
describeSharedActorStore("Redis Cluster", storesOn(cluster));
describeSharedActorStore("Redis behind Sentinels", storesOn(sentinel));
