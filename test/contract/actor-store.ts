import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ActorStore, type Lease, maxKeyLength, maxRecords, type StoreRecord } from "../../src/actors/store.js";
import { type RecordingListener, recordingListener } from "../helpers/store-listener.js";

/** One set of data, and stores on it. */
export interface ActorStoreUnderTest extends AsyncDisposable {
  /** A store as another process has it. Where data belongs to one process, called once. */
  open(): Promise<ActorStore>;
}

export type MakeActorStores = () => Promise<ActorStoreUnderTest>;

/** What every store of actors must do. Run it for each store. */
export function describeActorStore(name: string, make: MakeActorStores): void {
  describe(`${name} as a store of actors`, () => {
    let data: ActorStoreUnderTest;
    let store: ActorStore;
    let listener: RecordingListener;
    beforeEach(async () => {
      data = await make();
      store = await data.open();
      listener = recordingListener();
    });
    afterEach(async () => {
      await store.close();
      await data[Symbol.asyncDispose]();
    });

    it("tells nothing but that this is all, where there is nothing", async () => {
      await store.follow(listener);

      expect(listener.events).toEqual(["reloading", "reloaded", "connected"]);
    });

    it("tells what was written before it was followed, then each change before the write is over", async () => {
      await store.write([actor("a", "1"), actor("b", "1"), { kind: "syncs", key: "portal", value: "{}" }]);
      await store.write([actor("a", "2"), removal("b")]);

      await store.follow(listener);
      expect([...listener.world]).toEqual([
        ["actors a", "2"],
        ["syncs portal", "{}"],
      ]);
      expect(listener.events[0]).toBe("reloading");

      await store.write([actor("c", "3"), removal("a")]);
      expect(listener.events.slice(-2)).toEqual(["actors c=3", "actors a=undefined"]);
      expect([...listener.world.keys()].toSorted()).toEqual(["actors c", "syncs portal"]);
    });

    it("keeps kinds apart, and takes keys and values of any characters", async () => {
      await store.follow(listener);
      const odd = ["a}b", "a:b", "{a}", "line\nbreak", "nul\0", " blank ", "emoji 🙂", "__proto__", "ü".repeat(600)];
      const value = JSON.stringify({ text: "\0\r\n🙂\u2028", number: 9_007_199_254_740_991 });

      await store.write(odd.map((key) => ({ kind: "actors", key, value }) as const));
      await store.write(odd.map((key) => ({ kind: "unknown", key, value: `"${key.length}"` }) as const));

      for (const key of odd) {
        expect(listener.get("actors", key)).toBe(value);
        expect(listener.get("unknown", key)).toBe(`"${key.length}"`);
      }
      expect(listener.world.size).toBe(2 * odd.length);
    });

    it("takes the later of two records of one key, also within one write", async () => {
      await store.follow(listener);

      await store.write([actor("a", "1"), actor("a", "2"), removal("b"), actor("b", "1")]);
      await Promise.all(["3", "4", "5"].map((value) => store.write([actor("a", value)])));

      expect(listener.get("actors", "a")).toBe("5");
      expect(listener.get("actors", "b")).toBe("1");
    });

    it("tells many records in slices between which the event loop turns", async () => {
      for (let at = 0; at < 2_000; at += maxRecords)
        await store.write(Array.from({ length: maxRecords }, (_, index) => actor(`a${at + index}`, "1")));
      let turns = 0;
      let following = true;
      const count = (): void => {
        turns++;
        if (following) setImmediate(count);
      };
      setImmediate(count);

      await store.follow(listener);
      following = false;

      expect(listener.world.size).toBe(2_000);
      expect(listener.mostAtOnce).toBeLessThanOrEqual(maxRecords);
      expect(turns).toBeGreaterThanOrEqual(2_000 / maxRecords);
    });

    it("takes all records of a write or none", async () => {
      await store.follow(listener);
      const many = Array.from({ length: maxRecords + 1 }, (_, index) => actor(`a${index}`, "1"));

      await expect(store.write(many)).rejects.toThrow(RangeError);
      await expect(store.write([actor("b", "1"), actor("k".repeat(maxKeyLength + 1), "1")])).rejects.toThrow(
        RangeError,
      );
      await expect(store.write([actor("b", "1"), actor("", "1")])).rejects.toThrow(RangeError);
      expect(listener.world.size).toBe(0);

      await store.write(many.slice(1));
      expect(listener.world.size).toBe(maxRecords);
    });

    it("takes a write of nothing", async () => {
      await store.follow(listener);

      await store.write([]);

      expect(listener.world.size).toBe(0);
    });

    it("tells of what expires as removed, not before its time, and not of what was written anew", async () => {
      await store.follow(listener);
      const expiresAt = store.now() + 300;
      const told = listener.until(() => listener.get("actors", "gone") === `1@${expiresAt}`);
      await store.write([
        { ...actor("gone", "1"), expiresAt },
        { ...actor("extended", "1"), expiresAt },
        { ...actor("kept", "1"), expiresAt },
        { ...actor("past", "1"), expiresAt: store.now() - 1 },
      ]);
      await store.write([{ ...actor("extended", "2"), expiresAt: expiresAt + 60_000 }, actor("kept", "2")]);
      await told;

      let endedAt = 0;
      await listener.until(() => {
        if (endedAt === 0 && listener.get("actors", "gone") === undefined) endedAt = store.now();
        return endedAt > 0 && listener.get("actors", "past") === undefined;
      });

      expect(endedAt).toBeGreaterThanOrEqual(expiresAt);
      expect([...listener.world].toSorted()).toEqual([
        ["actors extended", `2@${expiresAt + 60_000}`],
        ["actors kept", "2"],
      ]);
    });

    it("does not tell of what expired before it was followed", async () => {
      const expiresAt = store.now() + 50;
      await store.write([{ ...actor("gone", "1"), expiresAt }, actor("kept", "1")]);
      await until(async () => store.now() > expiresAt || undefined);

      await store.follow(listener);

      expect(listener.events.filter((event) => event.startsWith("actors"))).not.toContain("actors gone=1");
      expect(listener.get("actors", "kept")).toBe("1");
    });

    it("gives a lease to one at a time, and says who has it", async () => {
      const lease = await store.acquire("sync/portal", { ttlMs: 60_000, holder: "first" });
      expect(lease?.name).toBe("sync/portal");
      expect(await store.acquire("sync/portal", { ttlMs: 60_000, holder: "second" })).toBeUndefined();
      expect(await store.holder("sync/portal")).toBe("first");
      expect(await store.holder("sync/other")).toBeUndefined();
      expect(await store.acquire("sync/other", { ttlMs: 60_000, holder: "se co:nd {}" })).toBeDefined();
      expect(await store.holder("sync/other")).toBe("se co:nd {}");

      await lease?.release();

      expect(await store.holder("sync/portal")).toBeUndefined();
      const next = await store.acquire("sync/portal", { ttlMs: 60_000, holder: "second" });
      expect(next).toBeDefined();
      // What is no longer its own, it does not let go.
      await lease?.release();
      expect(await lease?.extend()).toBe(false);
      expect(await store.holder("sync/portal")).toBe("second");
    });

    it("gives a lease to one of many who ask together", async () => {
      const asked = Array.from({ length: 50 }, (_, index) =>
        store.acquire("lookup/x", { ttlMs: 60_000, holder: String(index) }),
      );

      expect((await Promise.all(asked)).filter((lease) => lease !== undefined)).toHaveLength(1);
    });

    it("ends a lease when its time is over, unless it is extended", async () => {
      const short = await store.acquire("short", { ttlMs: 80, holder: "first" });
      const long = await store.acquire("long", { ttlMs: 60_000, holder: "first" });
      expect(await long?.extend()).toBe(true);

      const next = await until(() => store.acquire("short", { ttlMs: 60_000, holder: "second" }));

      expect(await short?.extend()).toBe(false);
      expect(await next.extend()).toBe(true);
      expect(await store.holder("short")).toBe("second");
      await next.release();
      // Nobody has it, and still somebody may have had it.
      expect(await short?.extend()).toBe(false);
    });

    it("writes nothing for a lease that is lost", async () => {
      await store.follow(listener);
      const lease = (await store.acquire("sync", { ttlMs: 80, holder: "first" })) as Lease;
      await store.write([actor("a", "first")], lease).catch((error: unknown) => {
        // A machine that is slow enough.
        expect(error).toMatchObject({ name: "LeaseLostError" });
      });

      const next = await until(() => store.acquire("sync", { ttlMs: 60_000, holder: "second" }));
      await store.write([actor("a", "second")], next);

      const lost = { name: "LeaseLostError", lease: "sync" };
      await expect(store.write([actor("a", "first"), actor("b", "first")], lease)).rejects.toMatchObject(lost);
      await next.release();
      await expect(store.write([actor("a", "first")], lease)).rejects.toMatchObject(lost);
      await expect(store.write([actor("a", "second")], next)).rejects.toMatchObject(lost);
      expect([...listener.world]).toEqual([["actors a", "second"]]);
    });

    it("gives no more permits than a second has, after the first burst", async () => {
      const rate = { perSecond: 20, burst: 5 };
      const start = performance.now();
      let taken = 0;
      const asked = Array.from({ length: 200 }, async () => {
        if (await store.take("lookups", rate)) taken++;
      });
      await Promise.all(asked);
      const seconds = (performance.now() - start) / 1_000;

      expect(taken).toBeGreaterThanOrEqual(5);
      // The store's clock may have moved on by a millisecond that ours has not.
      expect(taken).toBeLessThanOrEqual(5 + Math.ceil(20 * (seconds + 0.002)));
      expect(await store.take("others", rate)).toBe(true);
      await until(async () => (await store.take("lookups", rate)) || undefined);
    });

    it("keeps under a name what was given for it first", async () => {
      expect(await store.keep("pepper", "first 🙂")).toBe("first 🙂");
      expect(await store.keep("pepper", "second")).toBe("first 🙂");
      expect(await store.keep("other", "third")).toBe("third");
    });

    it("carries messages to all who listen to the channel, in order", async () => {
      const heard: string[] = [];
      const others: string[] = [];
      const all = promise();
      const stop = store.subscribe("activity", (message) => {
        heard.push(message);
        if (message === "end") all.resolve(undefined);
      });
      store.subscribe("elsewhere", (message) => others.push(message));
      // Who listens is known only when the first message arrives.
      await until(async () => {
        store.publish("activity", "first");
        return heard.length > 0 || undefined;
      });

      for (const message of ["a\n{}", "🙂", "end"]) store.publish("activity", message);
      await all.promise;

      expect(heard.filter((message) => message !== "first")).toEqual(["a\n{}", "🙂", "end"]);
      expect(others).toEqual([]);
      stop();
      const later = promise();
      store.subscribe("activity", () => later.resolve(undefined));
      store.publish("activity", "after the stop");
      await later.promise;
      expect(heard.at(-1)).toBe("end");
    });
  });
}

/** What a store must do that several processes share. `open` is called several times. */
export function describeSharedActorStore(name: string, make: MakeActorStores): void {
  describe(`${name} as a store of actors that processes share`, () => {
    it("tells every process of what any of them wrote, in the same order", async () => {
      await using data = await make();
      await using stores = await openAll(data, 3);
      const listeners = await Promise.all(
        stores.all.map(async (store) => {
          const listener = recordingListener();
          await store.follow(listener);
          return listener;
        }),
      );

      const writes = Array.from({ length: 60 }, (_, index) =>
        (stores.all[index % 3] as ActorStore).write([actor(`a${index % 7}`, String(index)), actor("last", "x")]),
      );
      await Promise.all(writes);
      await stores.all[0]?.write([actor("end", "1")]);
      await Promise.all(listeners.map((listener) => listener.until(() => listener.get("actors", "end") === "1")));

      const [first, ...others] = listeners.map(({ events }) => events.filter((event) => event.startsWith("actors")));
      for (const other of others) expect(other).toEqual(first);
      expect(first).toHaveLength(121);
    });

    it("has told of all that others wrote before, once a write is over", async () => {
      await using data = await make();
      await using stores = await openAll(data, 2);
      const [one, two] = stores.all as [ActorStore, ActorStore];
      const listener = recordingListener();
      await two.follow(listener);

      for (let at = 0; at < 20; at++) {
        await one.write([actor("a", String(at))]);
        await two.write([removal("nothing")]);
        expect(listener.get("actors", "a")).toBe(String(at));
      }
    });

    it("keeps one value under a name, whoever gives it first", async () => {
      await using data = await make();
      await using stores = await openAll(data, 3);

      const kept = await Promise.all(stores.all.map((store, index) => store.keep("pepper", `of ${index}`)));

      expect(new Set(kept).size).toBe(1);
    });

    it("shares leases and permits, and a message reaches the other process", async () => {
      await using data = await make();
      await using stores = await openAll(data, 2);
      const [one, two] = stores.all as [ActorStore, ActorStore];

      const lease = await one.acquire("sync", { ttlMs: 60_000, holder: "one" });
      expect(await two.acquire("sync", { ttlMs: 60_000, holder: "two" })).toBeUndefined();
      expect(await two.holder("sync")).toBe("one");
      await lease?.release();
      expect(await two.acquire("sync", { ttlMs: 60_000, holder: "two" })).toBeDefined();
      await expect(one.write([actor("a", "1")], lease)).rejects.toMatchObject({ name: "LeaseLostError" });

      const taken = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          (index % 2 ? one : two).take("lookups", { perSecond: 0.001, burst: 10 }),
        ),
      );
      expect(taken.filter((each) => each)).toHaveLength(10);

      const heard = promise();
      two.subscribe("activity", () => heard.resolve(undefined));
      const sending = setInterval(() => one.publish("activity", "hello"), 5);
      await heard.promise;
      clearInterval(sending);
    });
  });
}

interface OpenStores extends AsyncDisposable {
  readonly all: readonly ActorStore[];
}

async function openAll(data: ActorStoreUnderTest, count: number): Promise<OpenStores> {
  const all = await Promise.all(Array.from({ length: count }, () => data.open()));
  return {
    all,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((store) => store.close()));
    },
  };
}

function actor(key: string, value: string): StoreRecord {
  return { kind: "actors", key, value };
}

function removal(key: string): StoreRecord {
  return { kind: "actors", key, value: undefined };
}

/** Asks every few milliseconds until there is an answer. */
async function until<T>(question: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const answer = await question();
    if (answer !== undefined) return answer;
    await sleep(5);
  }
}

function promise(): { readonly promise: Promise<void>; resolve(value: undefined): void } {
  let resolve: () => void = () => undefined;
  const made = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise: made, resolve: () => resolve() };
}
