import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { actorsSlot, createActorStoreKeys } from "../../src/actors/redis-keys.js";
import { describeActorStore, describeSharedActorStore, type MakeActorStores } from "../contract/actor-store.js";
import { type RedisCluster, startCluster, startRedis, startSentinel, until } from "../helpers/redis.js";
import { openActorStore } from "../helpers/redis-actors.js";

interface Started extends AsyncDisposable {
  readonly endpoint: string;
}

/** A server for all tests of a block. */
function serverFor<S extends Started>(start: () => Promise<S>): () => S {
  let server: S | undefined;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());
  return () => server as S;
}

/** Stores on one server, each set of data with keys of its own, each store with connections of its own. */
function storesOn(server: () => Started): MakeActorStores {
  return async () => {
    const prefix = `${randomUUID()}:`;
    return {
      async open() {
        const opened = await openActorStore(server().endpoint, { prefix, follows: false });
        return {
          ...opened.store,
          /** Also while Redis takes more than the second that a process waits which starts. */
          async follow(listener) {
            let told = false;
            const reloaded = (): void => {
              listener.reloaded();
              told = true;
            };
            await opened.store.follow({ ...listener, reloaded });
            await until(async () => told);
          },
          async close() {
            await opened[Symbol.asyncDispose]();
            expect(opened.log.lines).toEqual([]);
          },
        };
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  };
}

describe("on one server", () => {
  const server = serverFor<Started>(startRedis);
  describeActorStore("Redis", storesOn(server));
  describeSharedActorStore("Redis", storesOn(server));
});

describe("on a Cluster", () => {
  const cluster = serverFor<RedisCluster>(startCluster);
  describeActorStore("Redis", storesOn(cluster));
  describeSharedActorStore("Redis", storesOn(cluster));

  it("names the slot that its keys are in", async () => {
    const [changes = ""] = createActorStoreKeys("a prefix:").records;

    expect(await cluster().nodes[0]?.client.cluster("KEYSLOT", changes)).toBe(actorsSlot);
  });
});

describe("behind Sentinels", () => {
  describeSharedActorStore("Redis", storesOn(serverFor<Started>(startSentinel)));
});
