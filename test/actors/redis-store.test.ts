import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { actorsSlot, createActorStoreKeys } from "../../src/actors/redis-keys.js";
import { describeActorStore, describeSharedActorStore, type MakeActorStores } from "../contract/actor-store.js";
import { startCluster, startRedis, startSentinel } from "../helpers/redis.js";
import { openActorStore } from "../helpers/redis-actors.js";

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
        const opened = await openActorStore(server.endpoint, {
          prefix,
          follows: false,
        });
        return {
          ...opened.store,
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

const single = (): Promise<Started> => startRedis();
const cluster = (): Promise<Started> => startCluster();
const sentinel = (): Promise<Started> => startSentinel();
describeActorStore("Redis", storesOn(single));
describeSharedActorStore("Redis", storesOn(single));
describeActorStore("Redis Cluster", storesOn(cluster));
describeSharedActorStore("Redis Cluster", storesOn(cluster));
describeSharedActorStore("Redis behind Sentinels", storesOn(sentinel));

it("names the slot that its keys are in", async () => {
  await using server = await startCluster();
  const [changes = ""] = createActorStoreKeys("a prefix:").records;

  expect(await server.nodes[0]?.client.cluster("KEYSLOT", changes)).toBe(actorsSlot);
});
