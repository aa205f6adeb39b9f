import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ActorStore } from "../../src/actors/store.js";
import type { SyncEvent } from "../../src/actors/sync-events.js";
import { UnavailableError } from "../../src/errors.js";
import { allOfTime, pass, settled } from "../helpers/time.js";
import { all, endOf, gather, kinds, setUp } from "./sync-setup.js";

// All of time is the test's: it passes in `settled` and `pass`.

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...allOfTime] });
});
afterEach(() => {
  vi.useRealTimers();
});

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
