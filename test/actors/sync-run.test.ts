import { describe, expect, it, onTestFinished } from "vitest";
import { createDirectory } from "../../src/actors/directory.js";
import { createMemoryActorStore } from "../../src/actors/memory-store.js";
import { actorRecord } from "../../src/actors/records.js";
import { runSync, type SyncChange, type SyncRunOptions } from "../../src/actors/sync-run.js";
import { createTokenHasher } from "../../src/actors/token.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { makeActor } from "../helpers/make-actor.js";
import { scriptedSource, tokenOf } from "../helpers/scripted-source.js";

const hasher = createTokenHasher("pepper");

async function setUp() {
  const clock = fakeClock();
  const store = createMemoryActorStore({ clock });
  onTestFinished(() => store.close());
  const directory = createDirectory({ clock });
  await store.follow(directory);
  const source = scriptedSource();
  let written = 0;
  const write: typeof store.write = async (records) => {
    written += records.length;
    await store.write(records);
  };
  const sync = async (options: Partial<SyncRunOptions> = {}) => {
    const changes: SyncChange[] = [];
    await clock.advanceMs(1_000);
    written = 0;
    const result = await runSync(
      { source, directory, hasher, write, onChange: (change) => changes.push(change) },
      {
        startedAt: clock.now(),
        now: clock.now,
        dryRun: false,
        allowShrink: false,
        shrinkGuard: 0.2,
        signal: new AbortController().signal,
        ...options,
      },
    );
    return { ...result, changes, written };
  };
  const known = (id: string) => directory.get(source.name, id);
  const idOf = (token: string) => directory.byToken(hasher.hash(token))?.id;
  return { clock, store, directory, source, sync, known, idOf };
}

describe("a sync", () => {
  it("takes over what is listed, writes only what changed, and says what that was", async () => {
    const { source, sync, known, idOf } = await setUp();
    for (let at = 0; at < 25; at++) source.set(`a${at}`);
    source.pageSize = 10;

    const first = await sync();
    expect(first.counts).toMatchObject({ pages: 3, seen: 25, added: 25, unchanged: 0, estimatedTotal: 25 });
    expect(first.written).toBe(25);
    expect(idOf(tokenOf("a7"))).toBe("a7");

    source.set("a1", { name: "New name" });
    source.set("a2", { accessEnabled: false });
    source.set("a3", { features: { chat_completions: { limits: [{ amount: 1, unit: "requests", windowMs: 5 }] } } });
    source.set("a4", {}, [tokenOf("a4"), tokenOf("another")]);
    const second = await sync();

    expect(second.counts).toMatchObject({ seen: 25, added: 0, changed: 4, unchanged: 21, removed: 0 });
    expect(second.written).toBe(4);
    expect(second.changes.map(({ id, detail }) => `${id}: ${detail}`)).toEqual([
      "a1: name",
      "a2: access switched off",
      "a3: chat_completions: limits",
      "a4: tokens: 1 added",
    ]);
    expect(known("a2")?.actor.accessEnabled).toBe(false);
    expect(idOf(tokenOf("another"))).toBe("a4");
  });

  it("removes what is no longer listed once all is listed", async () => {
    const { source, sync, known, idOf } = await setUp();
    for (let at = 0; at < 20; at++) source.set(`a${at}`);
    await sync();

    for (const id of ["a3", "a4"]) source.actors.delete(id);
    const { counts, hold } = await sync();

    expect(hold).toBeUndefined();
    expect(counts).toMatchObject({ removed: 2, unchanged: 18 });
    expect(known("a3")).toBeUndefined();
    expect(idOf(tokenOf("a4"))).toBeUndefined();
  });

  it("takes over what came before a listing broke off, and removes nothing", async () => {
    const { source, sync, known } = await setUp();
    for (let at = 0; at < 20; at++) source.set(`a${at}`);
    await sync();

    source.actors.delete("a0");
    source.set("a1", { name: "New name" });
    source.pageSize = 5;
    source.beforePage = async (pages) => {
      if (pages === 2) throw new Error("broken off");
    };

    await expect(sync()).rejects.toThrow("broken off");
    expect(known("a0")).toBeDefined();
    expect(known("a1")?.actor.name).toBe("New name");
  });

  it("removes nothing when it was stopped and the source takes that for its end", async () => {
    const { source, sync, known } = await setUp();
    for (let at = 0; at < 20; at++) source.set(`a${at}`);
    await sync();
    const abort = new AbortController();
    source.actors.delete("a0");
    source.beforePage = async () => abort.abort(new Error("stopped"));

    await expect(sync({ signal: abort.signal })).rejects.toThrow("stopped");
    expect(known("a0")).toBeDefined();
  });

  it("ends when it was stopped and the source does not listen", async () => {
    const { source, sync } = await setUp();
    const abort = new AbortController();
    source.set("a0");
    source.beforePage = () => {
      setImmediate(() => abort.abort(new Error("stopped")));
      return new Promise(() => {});
    };

    await expect(sync({ signal: abort.signal })).rejects.toThrow("stopped");
  });

  it("changes nothing in a dry run, and tells what it would do", async () => {
    const { source, sync, known } = await setUp();
    for (let at = 0; at < 5; at++) source.set(`a${at}`);
    await sync();
    source.actors.delete("a0");
    source.set("a1", { name: "New name" });
    source.set("b");

    const { counts, changes, written } = await sync({ dryRun: true });

    expect(counts).toMatchObject({ added: 1, changed: 1, removed: 1, unchanged: 3 });
    expect(changes.map(({ kind, id }) => `${kind} ${id}`)).toEqual(["changed a1", "added b", "removed a0"]);
    expect(written).toBe(0);
    expect(known("a0")).toBeDefined();
    expect(known("b")).toBeUndefined();
  });

  it("keeps what a look-up learned after it began", async () => {
    const { clock, directory, source, sync, known } = await setUp();
    source.set("a0");
    await sync();
    source.beforePage = async (pages) => {
      if (pages > 0) return;
      // While the listing that was made before it is on its way.
      await clock.advanceMs(10);
      const updatedAt = new Date(clock.now());
      const lookedUp = (id: string, name: string) =>
        actorRecord({ told: makeActor({ id, name, source: "portal", updatedAt }), tokenHashes: [] });
      directory.changed([lookedUp("a0", "Newer"), lookedUp("b", "Born meanwhile")]);
    };

    const { counts } = await sync();

    expect(counts).toMatchObject({ unchanged: 1, changed: 0, removed: 0 });
    expect(known("a0")?.actor.name).toBe("Newer");
    expect(known("b")).toBeDefined();
  });
});

describe("entries that make no sense", () => {
  it("are left out, and what was known of them stays", async () => {
    const { source, sync, known } = await setUp();
    for (let at = 0; at < 30; at++) source.set(`a${at}`);
    await sync();
    source.actors.delete("a5");
    source.extra = [{ kind: "invalid", id: "a5", problem: "limit is -3" }];
    source.set("b");

    const { counts, changes } = await sync();

    expect(counts).toMatchObject({ seen: 31, added: 1, quarantined: 1, removed: 0, unchanged: 29 });
    expect(changes).toContainEqual({ kind: "quarantined", id: "a5", name: "", detail: "limit is -3" });
    expect(known("a5")).toBeDefined();
  });

  it("confirm nobody: it is known since when, until they make sense again", async () => {
    const { source, clock, sync, known } = await setUp();
    for (let at = 0; at < 30; at++) source.set(`a${at}`);
    source.set("a6", {}, [tokenOf("a6"), tokenOf("a4")]);
    await sync();
    const entry = source.actors.get("a5");
    source.actors.delete("a5");
    source.extra = [{ kind: "invalid", id: "a5", problem: "limit is -3" }];

    const first = await sync();
    const since = clock.now();
    const second = await sync();
    expect([first.written, second.written]).toEqual([1, 0]);
    expect(known("a5")).toMatchObject({ unlistedAt: since, told: { accessEnabled: true } });
    // Something is wrong with the entry of this one, too, but not with what was taken of it.
    expect(known("a6")?.unlistedAt).toBeUndefined();

    if (entry) source.actors.set("a5", entry);
    source.extra = [];
    expect((await sync()).changes).toContainEqual({
      kind: "changed",
      id: "a5",
      name: "a5",
      detail: "is listed again",
    });
    expect(known("a5")?.unlistedAt).toBeUndefined();
  });

  it("keep all that is missing when it cannot be told whose they are", async () => {
    const { source, sync, known } = await setUp();
    for (let at = 0; at < 30; at++) source.set(`a${at}`);
    await sync();
    source.actors.delete("a5");
    source.extra = [{ kind: "invalid", id: undefined, problem: "has no id" }];

    const { hold } = await sync();

    expect(hold).toMatchObject({ wouldRemove: 1, known: 30 });
    expect(known("a5")).toBeDefined();
  });

  it("are those with ids, names and numbers of tokens that nobody could store", async () => {
    const { source, sync, known } = await setUp();
    source.set("i".repeat(700));
    source.set("half \ud800");
    source.set("named", { name: "n".repeat(2_000) });
    source.set(
      "many",
      {},
      Array.from({ length: 2_000 }, (_, at) => tokenOf(`t${at}`)),
    );
    source.set("good");

    const { counts } = await sync();

    expect(counts).toMatchObject({ seen: 5, added: 1, quarantined: 4 });
    expect(known("good")).toBeDefined();
  });

  it("are a second entry of an actor, and a token that an actor before has", async () => {
    const { source, sync, known, idOf } = await setUp();
    source.set("a0");
    source.set("a1", {}, [tokenOf("a0"), tokenOf("a1")]);
    const twice = { actor: makeActor({ id: "a0", name: "Again", source: "portal" }), tokens: [tokenOf("x")] };
    source.extra = [{ kind: "actor", ...twice }];

    const { counts } = await sync();

    expect(counts).toMatchObject({ seen: 3, added: 2, quarantined: 2 });
    expect(known("a0")?.actor.name).toBe("a0");
    expect(idOf(tokenOf("a0"))).toBe("a0");
    expect(idOf(tokenOf("a1"))).toBe("a1");
    expect(idOf(tokenOf("x"))).toBeUndefined();
  });
});

describe("a token that moves from one actor to another", () => {
  it.each(["before", "after"])("belongs to its new one, listed %s its old one", async (order) => {
    const { source, sync, idOf } = await setUp();
    source.set("old", {}, [tokenOf("t")]);
    await sync();
    source.actors.clear();
    const ids = order === "before" ? ["new", "old"] : ["old", "new"];
    for (const id of ids) source.set(id, {}, id === "new" ? [tokenOf("t")] : []);

    await sync();

    expect(idOf(tokenOf("t"))).toBe("new");
  });
});

describe("the shrink guard", () => {
  async function shrunk({ known: many, left }: { known: number; left: number }, options: Partial<SyncRunOptions> = {}) {
    const all = await setUp();
    for (let at = 0; at < many; at++) all.source.set(`a${at}`);
    await all.sync();
    for (let at = left; at < many; at++) all.source.actors.delete(`a${at}`);
    return { ...all, ...(await all.sync(options)) };
  }

  it.each([
    { known: 100, left: 80, held: false, why: "a fifth may go" },
    { known: 100, left: 79, held: true, why: "more may not" },
    { known: 12, left: 2, held: false, why: "ten may always go" },
    { known: 12, left: 1, held: true, why: "eleven may not" },
    { known: 12, left: 0, held: true, why: "nothing listed is a mistake" },
    { known: 3, left: 0, held: true, why: "nothing listed is a mistake, also of few" },
    { known: 3, left: 1, held: false, why: "two of three may go" },
  ])("with $known known and $left left: $why", async ({ known: many, left, held }) => {
    const { hold, directory, source, counts } = await shrunk({ known: many, left });

    expect(hold !== undefined).toBe(held);
    expect(directory.count(source.name)).toBe(held ? many : left);
    expect(counts.removed).toBe(held ? 0 : many - left);
    if (held) expect(hold).toMatchObject({ wouldRemove: many - left, known: many, allowedShare: 0.2 });
  });

  it("lets everything go when it is told to", async () => {
    const { hold, directory, source } = await shrunk({ known: 40, left: 0 }, { allowShrink: true });

    expect(hold).toBeUndefined();
    expect(directory.count(source.name)).toBe(0);
  });

  it("takes over what changed, and marks what it keeps until that is listed again", async () => {
    const all = await setUp();
    const { source, sync, known, clock } = all;
    for (let at = 0; at < 40; at++) source.set(`a${at}`);
    await sync();
    for (let at = 10; at < 40; at++) source.actors.delete(`a${at}`);
    source.set("a0", { name: "New name" });

    const first = await sync();
    const since = clock.now();
    expect(first.hold).toBeDefined();
    expect(known("a0")?.actor.name).toBe("New name");
    expect([known("a9")?.unlistedAt, known("a10")?.unlistedAt]).toEqual([undefined, since]);

    const second = await sync();
    expect(second.hold).toMatchObject({ wouldRemove: 30, known: 40 });
    expect(second.written).toBe(0);
    expect(known("a10")?.unlistedAt).toBe(since);

    source.set("a10");
    await sync();
    expect(known("a10")?.unlistedAt).toBeUndefined();
  });
});
