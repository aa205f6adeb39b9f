import { describe, expect, it } from "vitest";
import { createDatabaseActorStore } from "../../src/actors/database-store.js";
import { type ActorStore, maxRecords, type StoreRecord } from "../../src/actors/store.js";
import { systemClock } from "../../src/lib/clock.js";
import { type Database, openDatabase } from "../../src/lib/database.js";
import { describeActorStore } from "../contract/actor-store.js";
import { copyDatabase, dataDir, mayMount, smallDisk } from "../helpers/data-dir.js";
import { recordingLog, silentLog } from "../helpers/log.js";
import { type RecordingListener, recordingListener } from "../helpers/store-listener.js";
import { untilWritable } from "../helpers/until-writable.js";

describeActorStore("database", async () => {
  const dir = await dataDir();
  const database = await openDatabase(dir.path);
  return {
    open: () => createDatabaseActorStore({ clock: systemClock, database, log: silentLog }),
    async [Symbol.asyncDispose]() {
      await database.close();
      await dir[Symbol.asyncDispose]();
    },
  };
});

interface Opened extends AsyncDisposable {
  readonly store: ActorStore;
  readonly database: Database;
  readonly listener: RecordingListener;
  readonly log: ReturnType<typeof recordingLog>;
}

async function open(path: string): Promise<Opened> {
  const database = await openDatabase(path, { retryMs: 20 });
  const log = recordingLog();
  const store = await createDatabaseActorStore({ clock: systemClock, database, log });
  const listener = recordingListener();
  await store.follow(listener);
  return {
    store,
    database,
    listener,
    log,
    async [Symbol.asyncDispose]() {
      await store.close();
      await database.close();
    },
  };
}

function removal(key: string): StoreRecord {
  return { kind: "actors", key, value: undefined };
}

function record(kind: StoreRecord["kind"], key: string, value = "1"): StoreRecord {
  return { kind, key, value };
}

describe("a database store of actors that is started again", () => {
  it("knows what it knew, but for what has expired and what passes", async () => {
    await using dir = await dataDir();
    const odd = ["a}b", "line\nbreak", "nul\0", 'quo"te', "emoji 🙂", "ü".repeat(600), "\\u0000", "[1]", "1"];
    const value = JSON.stringify({ text: 'nul \0 "quoted" 🙂', list: [1, null] });
    {
      await using one = await open(dir.path);
      await one.store.write(odd.map((key) => record("actors", key, value)));
      await one.store.write([record("overrides", "o"), record("revocations", "r"), record("syncs", "s")]);
      await one.store.write([record("unknown", "u"), record("watchers", "w")]);
      await one.store.write([{ ...record("actors", "short"), expiresAt: Date.now() + 50 }]);
      await one.store.write([{ ...record("actors", "long", "x"), expiresAt: 4_000_000_000_000.5 }]);
      await one.store.write([record("actors", "gone"), removal("gone")]);
      await one.listener.until(() => one.listener.get("actors", "short") === undefined);
    }
    await using two = await open(dir.path);

    const expected = [
      ...odd.map((key) => [`actors ${key}`, value]),
      ["actors long", "x@4000000000001"],
      ["overrides o", "1"],
      ["revocations r", "1"],
      ["syncs s", "1"],
    ] as [string, string][];
    expect(two.listener.world).toEqual(new Map(expected));
    // What is told again expires as well.
    await two.store.write([{ ...record("actors", "long"), expiresAt: Date.now() + 20 }]);
    await two.listener.until(() => two.listener.get("actors", "long") === undefined);
    expect(two.log.lines).toEqual([]);
  });

  it("has what was kept, which another directory has not", async () => {
    await using dir = await dataDir();
    await using another = await dataDir();
    {
      await using first = await open(dir.path);
      await first.store.keep("pepper", "first");
    }

    await using again = await open(dir.path);
    await using other = await open(another.path);
    expect(await again.store.keep("pepper", "second")).toBe("first");
    expect(await other.store.keep("pepper", "second")).toBe("second");
  });

  it("knows many, and tells them in slices", async () => {
    await using dir = await dataDir();
    {
      await using first = await open(dir.path);
      for (let at = 0; at < 2_000; at += maxRecords)
        await first.store.write(Array.from({ length: maxRecords }, (_, index) => record("actors", `a${at + index}`)));
    }
    await using second = await open(dir.path);

    expect(second.listener.world.size).toBe(2_000);
    expect(second.listener.mostAtOnce).toBe(maxRecords);
  });

  it("has all that was told when its process ended suddenly", async () => {
    await using dir = await dataDir();
    await using first = await open(dir.path);
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => first.store.write([record("actors", "a", String(index))])),
    );
    await first.store.write([record("revocations", "r")]);
    await using copy = await copyDatabase(dir.path);
    await using second = await open(copy.path);

    expect(second.listener.world).toEqual(first.listener.world);
    expect(second.listener.get("actors", "a")).toBe("49");
  });

  it("clears what has expired from the file", async () => {
    await using dir = await dataDir();
    {
      await using first = await open(dir.path);
      await first.store.write([{ ...record("actors", "short"), expiresAt: Date.now() + 20 }, record("actors", "a")]);
      await first.listener.until(() => first.listener.get("actors", "short") === undefined);
    }
    await using second = await open(dir.path);

    const rows = await second.database.read<{ key: string }>("select key from actor_records");
    expect(rows.map(({ key }) => key)).toEqual(['"a"']);
  });
});

describe.runIf(mayMount)("a database store of actors whose disk is full", () => {
  it("refuses what operators set, goes on with what sources tell, and writes that once there is room", async () => {
    await using disk = await smallDisk();
    {
      await using opened = await open(disk.path);
      const { store, listener, database } = opened;
      await store.write([record("actors", "a", "before"), record("actors", "b", "before"), record("revocations", "r")]);
      const full = untilWritable(database, false);
      await disk.fill();
      // What has room left in the file is taken without the disk.
      const big = "x".repeat(200_000);
      await store.write([record("actors", "big", big)]);
      await full;

      await store.write([record("actors", "a", "meanwhile"), record("syncs", "s", "1")]);
      await store.write([record("actors", "a", "later"), removal("b")]);
      for (const kind of ["overrides", "revocations"] as const)
        await expect(store.write([record(kind, "new")])).rejects.toMatchObject({
          name: "UnavailableError",
          reason: "ACTOR_STORE_UNAVAILABLE",
        });
      expect(listener.get("actors", "a")).toBe("later");
      expect(listener.get("actors", "b")).toBeUndefined();
      expect(listener.get("revocations", "new")).toBeUndefined();

      const room = untilWritable(database);
      await disk.free();
      await room;
      await store.write([record("revocations", "after")]);
    }
    await using again = await open(disk.path);
    expect(again.listener.get("actors", "a")).toBe("later");
    expect(again.listener.get("actors", "b")).toBeUndefined();
    expect(again.listener.get("syncs", "s")).toBe("1");
    expect([...again.listener.world.keys()].filter((name) => name.startsWith("revocations"))).toEqual([
      "revocations after",
      "revocations r",
    ]);
  });
});
