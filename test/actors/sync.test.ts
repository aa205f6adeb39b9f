import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDirectory } from "../../src/actors/directory.js";
import { createMemoryActorStore } from "../../src/actors/memory-store.js";
import { syncRecord } from "../../src/actors/records.js";
import type { ActorStore } from "../../src/actors/store.js";
import { createSyncs } from "../../src/actors/sync.js";
import type { SyncEvent } from "../../src/actors/sync-events.js";
import { createTokenHasher } from "../../src/actors/token.js";
import { UnavailableError } from "../../src/errors.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { recordingLog } from "../helpers/log.js";
import { scriptedSource } from "../helpers/scripted-source.js";
import { allOfTime, leap, pass, settled } from "../helpers/time.js";

// All of time is the test's: it passes in `settled` and `pass`.
beforeEach(() => {
  vi.useFakeTimers({ toFake: [...allOfTime] });
});
afterEach(() => {
  vi.useRealTimers();
});

const intervalMs = 120_000;

async function setUp() {
  const clock = fakeClock();
  const store = createMemoryActorStore({ clock });
  const directory = createDirectory({ clock });
  const log = recordingLog();
  await settled(store.follow(directory));
  const source = scriptedSource();
  for (let at = 0; at < 30; at++) source.set(`a${at}`);
  const start = (process: string, on: ActorStore = store, every = intervalMs) =>
    createSyncs(
      {
        sources: [source, scriptedSource("other")],
        store: on,
        directory,
        log,
        process,
        hasher: createTokenHasher("p"),
      },
      { intervalMs: every, shrinkGuard: 0.2 },
    );
  /** Stops a listing where it is. */
  const block = () => {
    let go = (): void => {};
    let reached = (): void => {};
    const blocked = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const gone = new Promise<void>((resolve) => {
      go = resolve;
    });
    source.beforePage = async (pages) => {
      if (pages !== 1) return;
      reached();
      await gone;
    };
    return { blocked, go: () => go() };
  };
  const messages = () => log.lines.flatMap(({ level, message }) => (level === "debug" ? [] : [message]));
  return { clock, store, directory, log, messages, source, start, block };
}

async function gather(events: AsyncIterable<SyncEvent>): Promise<SyncEvent[]> {
  const list: SyncEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

const all = (events: AsyncIterable<SyncEvent>): Promise<SyncEvent[]> => settled(gather(events));

const kinds = (events: readonly SyncEvent[]): string[] => events.map(({ source, kind }) => `${source} ${kind}`);

function endOf(events: readonly SyncEvent[]) {
  const last = events.at(-1);
  if (last?.kind !== "finished") throw new Error("the sync did not finish");
  return last.summary;
}

describe("a sync on request", () => {
  it("tells how it goes, and leaves how it ended to all", async () => {
    const { clock, directory, start, messages } = await setUp();
    const syncs = start("one");
    const startedAt = clock.now();

    const events = await all(syncs.sync("portal"));

    expect(kinds(events)[0]).toBe("portal started");
    expect(new Set(kinds(events).slice(1, -1))).toEqual(new Set(["portal progress"]));
    expect(events[0]).toMatchObject({ joined: false, process: "one", startedAt });
    expect(endOf(events)).toMatchObject({ outcome: "succeeded", process: "one", counts: { added: 30 } });
    expect(syncs.state("portal")).toMatchObject({
      last: endOf(events),
      completedAt: startedAt,
      failures: 0,
    });
    expect(syncs.state("portal").running).toBeUndefined();
    expect(directory.count("portal")).toBe(30);
    expect(await syncs.holder("portal")).toBeUndefined();
    expect(messages()).toEqual(["sync succeeded"]);
  });

  it("syncs all sources where none is named", async () => {
    const { start } = await setUp();

    const events = await all(start("one").sync(undefined));

    expect(
      kinds(events)
        .filter((each) => /started|finished/.test(each))
        .toSorted(),
    ).toEqual(["other finished", "other started", "portal finished", "portal started"]);
  });

  it("waits for a store that is away for a moment, and gives up on one that stays away", async () => {
    const { store, start, directory, source } = await setUp();
    const away = new UnavailableError("ACTOR_STORE_UNAVAILABLE", "away", 1_000);
    let failing = 0;
    const write: ActorStore["write"] = async (records, lease) => {
      if (records.some(({ kind }) => kind === "actors") && failing-- > 0) throw away;
      return store.write(records, lease);
    };
    const syncs = start("one", { ...store, write });

    failing = 5;
    expect(endOf(await all(syncs.sync("portal")))).toMatchObject({ outcome: "succeeded", counts: { added: 30 } });
    expect(directory.count("portal")).toBe(30);

    source.set("new");
    failing = 1_000;
    expect(endOf(await all(syncs.sync("portal")))).toMatchObject({ outcome: "failed" });
  });

  it("is refused for a source that cannot list, and while the store is away", async () => {
    const { store, start } = await setUp();

    await expect(all(start("one").sync("nobody"))).rejects.toMatchObject({ reason: "SYNC_NOT_SUPPORTED" });

    const away = new UnavailableError("ACTOR_STORE_UNAVAILABLE", "away", 1_000);
    const syncs = start("two", { ...store, acquire: async () => Promise.reject(away) });
    await expect(all(syncs.sync("portal"))).rejects.toBe(away);
  });

  it("goes on when nobody listens any more", async () => {
    const { directory, start } = await setUp();
    const syncs = start("one");

    const events = syncs.sync("portal")[Symbol.asyncIterator]();
    await settled(events.next());
    await events.return?.();
    await pass(300);
    expect(syncs.state("portal").last?.outcome).toBe("succeeded");

    expect(directory.count("portal")).toBe(30);
  });

  it("tells of a held removal, with the reason, to whoever looks later", async () => {
    const { source, start, messages } = await setUp();
    const syncs = start("one");
    await all(syncs.sync("portal"));
    source.actors.clear();

    const events = await all(syncs.sync("portal"));

    expect(kinds(events).slice(-2)).toEqual(["portal held", "portal finished"]);
    expect(syncs.state("portal").last).toMatchObject({
      outcome: "held",
      hold: { wouldRemove: 30, known: 30 },
      error: "the source lists nobody, and 30 actors are known",
    });
    expect(messages().at(-1)).toBe("sync held: actors that are missing were kept");
    expect(endOf(await all(syncs.sync("portal", { allowShrink: true })))).toMatchObject({ outcome: "succeeded" });
  });

  it("tells in a dry run what would change, and is no reason to sync later or to forget the last sync", async () => {
    const { source, start } = await setUp();
    const syncs = start("one");
    await all(syncs.sync("portal"));
    const before = syncs.state("portal");
    source.set("b");
    source.actors.delete("a0");

    const events = await all(syncs.sync("portal", { dryRun: true }));

    const changes = events.flatMap((event) => (event.kind === "progress" ? event.changes : []));
    expect(changes.map(({ kind, id }) => `${kind} ${id}`)).toEqual(["added b", "removed a0"]);
    expect(syncs.state("portal")).toEqual({ ...before, lastDryRun: endOf(events) });
  });
});

describe("a second sync of the same source", () => {
  it.each(["one", "two"])("joins the one under way, asked for in process %s", async (process) => {
    const { source, start, block } = await setUp();
    source.pageSize = 10;
    const { blocked, go } = block();
    const first = start("one");
    const leading = gather(first.sync("portal"));
    await settled(blocked);

    const syncs = process === "one" ? first : start(process);
    const joining = syncs.sync("portal")[Symbol.asyncIterator]();
    expect((await settled(joining.next())).value).toMatchObject({ kind: "started", joined: true, process: "one" });
    await pass(300);
    expect((await settled(joining.next())).value).toMatchObject({ kind: "progress", counts: { pages: 1, added: 10 } });
    expect(syncs.state("portal").running).toMatchObject({ process: "one", counts: { seen: 10 } });
    expect(await syncs.holder("portal")).toBe("one");

    go();
    const rest: SyncEvent[] = [];
    for (let next = await settled(joining.next()); !next.done; next = await settled(joining.next()))
      rest.push(next.value);
    expect(endOf(rest)).toEqual(endOf(await settled(leading)));
    expect(source.listings).toBe(1);
  });

  it.each(["one", "two"])("is refused with other options, asked for in process %s", async (process) => {
    const { start, block } = await setUp();
    const { blocked, go } = block();
    const first = start("one");
    const leading = gather(first.sync("portal"));
    await settled(blocked);
    const syncs = process === "one" ? first : start(process);

    await expect(all(syncs.sync("portal", { dryRun: true }))).rejects.toMatchObject({ reason: "SYNC_DIFFERS" });

    go();
    await settled(leading);
  });

  it("hears in another process what a dry run finds", async () => {
    const { source, start, block } = await setUp();
    source.pageSize = 10;
    const { blocked, go } = block();
    const leading = gather(start("one").sync("portal", { dryRun: true }));
    await settled(blocked);
    await pass(300);
    const joining = start("two").sync("portal", { dryRun: true })[Symbol.asyncIterator]();
    await settled(joining.next());

    go();
    const changes: unknown[] = [];
    for (let next = await settled(joining.next()); !next.done; next = await settled(joining.next()))
      if (next.value.kind === "progress") changes.push(...next.value.changes);
    await settled(leading);

    expect(changes.length).toBe(20);
  });

  it("ends as failed when the process that did it is gone", async () => {
    const { store, source, start, block, directory } = await setUp();
    source.pageSize = 10;
    const { blocked } = block();
    let dead = false;
    const dying: ActorStore = { ...store, write: async (...args) => (dead ? undefined : store.write(...args)) };
    void gather(start("one", dying).sync("portal"));
    await settled(blocked);
    const joining = gather(start("two").sync("portal"));
    await pass(1);
    dead = true;

    await pass(11_000);
    // It is found out at the latest when it would have told something again.
    await pass(11_000);

    expect(endOf(await settled(joining))).toMatchObject({
      outcome: "failed",
      process: "one",
      error: "the process that did it has ended",
    });
    expect(directory.count("portal")).toBe(10);
  });
});

describe("syncs on schedule", () => {
  it("begin at once, then come at the interval", async () => {
    const { source, start } = await setUp();
    const syncs = start("one");
    syncs.start();

    await pass(1_000);
    expect(source.listings).toBe(1);
    await pass(intervalMs * 0.85);
    expect(source.listings).toBe(1);
    await pass(intervalMs * 0.3);
    expect(source.listings).toBe(2);
    await pass(intervalMs * 10);
    expect(source.listings).toBeGreaterThanOrEqual(10);
    expect(source.listings).toBeLessThanOrEqual(13);
    await settled(syncs.close());
  });

  it("are done by one of several processes, also when all start together", async () => {
    const { source, start } = await setUp();
    const processes = ["one", "two", "three", "four"].map((process) => start(process));
    for (const syncs of processes) syncs.start();

    await pass(5_000);
    expect(source.listings).toBe(1);
    await pass(intervalMs * 10);
    expect(source.listings).toBeLessThanOrEqual(13);
    await settled(Promise.all(processes.map((syncs) => syncs.close())));
  });

  it("do not begin anew at a start within the interval", async () => {
    const { source, start } = await setUp();
    await all(start("one").sync("portal"));

    const syncs = start("two");
    syncs.start();
    await pass(10_000);

    expect(source.listings).toBe(1);
    await settled(syncs.close());
  });

  it("come at a shorter interval as soon as that is set, and at the shortest where processes differ", async () => {
    const { source, store, start } = await setUp();
    const rare = start("one", store, 24 * 3_600_000);
    rare.start();
    await pass(1_000);
    expect(source.listings).toBe(1);

    const frequent = start("two");
    frequent.start();
    await pass(intervalMs * 1.2);
    expect(source.listings).toBe(2);
    await pass(intervalMs * 10);
    expect(source.listings).toBeGreaterThanOrEqual(11);
    expect(source.listings).toBeLessThanOrEqual(14);
    await settled(Promise.all([rare.close(), frequent.close()]));
  });

  it("go on when the clock was set back, and take over what changed and what is gone", async () => {
    const { clock, source, start, directory } = await setUp();
    const syncs = start("one");
    syncs.start();
    await pass(1_000);
    source.set("a1", { accessEnabled: false });
    source.actors.delete("a2");
    leap(-365 * 24 * 3_600_000);

    await pass(intervalMs * 1.2);
    expect(source.listings).toBe(2);
    expect(directory.get("portal", "a1")?.actor.accessEnabled).toBe(false);
    expect(directory.get("portal", "a2")).toBeUndefined();
    expect(directory.get("portal", "a3")?.told.updatedAt.getTime()).toBeLessThanOrEqual(clock.now());
    await pass(intervalMs * 10);
    expect(source.listings).toBeLessThanOrEqual(14);
    await settled(syncs.close());
  });

  it("are taken up when a process died before the clock was set back", async () => {
    const { source, store, start, directory, clock } = await setUp();
    const counts = { pages: 0, seen: 0, added: 0, changed: 0, unchanged: 0, removed: 0, quarantined: 0 };
    const at = clock.now() + 3_600_000;
    const running = { id: "1", startedAt: at, process: "dead", dryRun: false, allowShrink: false, counts };
    await settled(store.write([syncRecord("portal", { running: { ...running, until: at + 10_000 } })]));

    const syncs = start("two");
    syncs.start();
    await pass(2_000);

    expect(source.listings).toBe(1);
    expect(directory.count("portal")).toBe(30);
    await settled(syncs.close());
  });

  it("are tried again ever more rarely while they fail, up to the interval", async () => {
    const { source, start, messages } = await setUp();
    source.beforePage = async () => {
      throw Object.assign(new Error("connect ECONNREFUSED 10.0.0.1:443"), { code: "ECONNREFUSED" });
    };
    const syncs = start("one");
    syncs.start();

    await pass(1_000);
    expect(syncs.state("portal")).toMatchObject({
      failures: 1,
      last: { outcome: "failed", error: "connection refused" },
    });
    expect(syncs.state("portal").completedAt).toBeUndefined();
    await pass(12_000);
    expect(source.listings).toBe(2);
    await pass(24_000);
    expect(source.listings).toBe(3);
    await pass(3_600_000);
    expect(source.listings).toBeLessThanOrEqual(38);
    expect(messages()).toContain("sync failed");

    source.beforePage = async () => {};
    await pass(intervalMs * 1.2);
    expect(syncs.state("portal")).toMatchObject({ failures: 0, last: { outcome: "succeeded" } });
    await settled(syncs.close());
  });

  it("give up on a source that does not go on, and leave what is known", async () => {
    const { source, directory, start } = await setUp();
    source.pageSize = 10;
    block(source);
    const syncs = start("one");
    syncs.start();

    await pass(62_000);

    expect(syncs.state("portal").last).toMatchObject({ outcome: "failed", error: "no answer in time" });
    expect(directory.count("portal")).toBe(10);
    await settled(syncs.close());
  });

  it("are canceled when their process stops, and taken up by another one at once", async () => {
    const { source, start, directory } = await setUp();
    source.pageSize = 10;
    block(source);
    const first = start("one");
    first.start();
    await pass(1_000);

    await settled(first.close());
    expect(first.state("portal").last).toMatchObject({ outcome: "canceled", process: "one" });

    source.beforePage = async () => {};
    const second = start("two");
    second.start();
    await pass(2_000);
    expect(directory.count("portal")).toBe(30);
    await settled(second.close());
  });

  it("are taken up by another process when theirs dies", async () => {
    const { source, store, start, directory } = await setUp();
    source.pageSize = 10;
    block(source);
    let dead = false;
    const frozen = new Promise<never>(() => {});
    const dying: ActorStore = {
      ...store,
      write: (...args) => (dead ? frozen : store.write(...args)),
      acquire: async (...args) => {
        const lease = await (dead ? frozen : store.acquire(...args));
        const extend = lease?.extend ?? (async () => false);
        return lease && Object.assign(lease, { extend: () => (dead ? frozen : extend()) });
      },
    };
    start("one", dying).start();
    await pass(1_000);
    dead = true;
    source.beforePage = async () => {};
    const second = start("two");
    second.start();

    await pass(15_000);

    expect(second.state("portal").last).toMatchObject({ outcome: "succeeded", process: "two" });
    expect(directory.count("portal")).toBe(30);
    await settled(second.close());
  });
});

/** Listings stop before their second page, for good. */
function block(source: ReturnType<typeof scriptedSource>): void {
  source.beforePage = (pages) => (pages === 1 ? new Promise(() => {}) : Promise.resolve());
}

describe("a process that was paused past its lease", () => {
  it("cannot overwrite what the next one wrote", async () => {
    const { clock, store, source, start, block: blockOnce, directory } = await setUp();
    source.pageSize = 10;
    const { blocked, go } = blockOnce();
    const paused = { ...store, now: () => clock.now() };
    const old = gather(start("one", paused).sync("portal"));
    await settled(blocked);

    // Nothing of the paused process runs: neither its timers nor its listing.
    vi.setSystemTime(clock.now() + 11_000);
    source.set("a20", { name: "Newer" });
    source.beforePage = async () => {};
    const second = await all(start("two").sync("portal"));
    expect(endOf(second)).toMatchObject({ outcome: "succeeded", process: "two" });

    go();
    expect(endOf(await settled(old))).toMatchObject({ outcome: "failed", error: "another process took over" });
    expect(directory.get("portal", "a20")?.actor.name).toBe("Newer");
    expect(start("three").state("portal").last).toEqual(endOf(second));
  });
});
