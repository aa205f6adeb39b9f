import { describe, expect, it } from "vitest";
import type { Actor } from "../../src/actors/actor.js";
import { createDirectory, type Directory, type DirectoryChange, maxUnknown } from "../../src/actors/directory.js";
import type { Override, OverrideSubject } from "../../src/actors/override.js";
import {
  actorRecord,
  actorRemoval,
  overrideRecord,
  overrideRemoval,
  revocationRecord,
  revocationRemoval,
  syncRecord,
  unknownRecord,
  watcherRecord,
} from "../../src/actors/records.js";
import type { StoreRecord } from "../../src/actors/store.js";
import { noSyncCounts } from "../../src/actors/sync-state.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { recordingLog } from "../helpers/log.js";
import { makeActor, makeLimit } from "../helpers/make-actor.js";

const source = "portal";

function setUp() {
  const clock = fakeClock();
  const log = recordingLog();
  const directory = createDirectory({ clock, log });
  const changes: DirectoryChange[] = [];
  directory.onChange((change) => changes.push(change));
  return { clock, log, directory, changes };
}

function told(overrides: Parameters<typeof makeActor>[0] = {}): Actor {
  return makeActor({ source, ...overrides });
}

function record(actor: Actor, ...tokenHashes: string[]): StoreRecord {
  return actorRecord({ told: actor, tokenHashes });
}

function override(subject: OverrideSubject, more: Partial<Override> = {}): Override {
  return { source, id: "acme", subject, reason: "because", setBy: "ops", setAt: 5, ...more };
}

const chatLimits = (amount: number): OverrideSubject => ({
  kind: "limits",
  feature: "chat_completions",
  limits: [makeLimit({ amount })],
});

function amounts(directory: Directory): readonly number[] | undefined {
  return directory.get(source, "acme")?.actor.features.chat_completions?.limits.map(({ amount }) => amount);
}

describe("directory", () => {
  it("finds an actor by id and by each of its tokens, as it was told", () => {
    const { directory } = setUp();
    const actor = told({
      id: "a/b c",
      name: "Ünïcode 🙂",
      accessEnabled: false,
      features: {
        chat_completions: { limits: [makeLimit({ burst: true, models: ["m*"] })], inFlight: 3, models: ["*"] },
        embeddings: { limits: [makeLimit({ unit: "tokens" })] },
      },
    });
    directory.changed([record(actor, "t1", "t2")]);

    expect(directory.get(source, "a/b c")?.actor).toEqual(actor);
    expect(directory.byToken("t1")?.told).toEqual(actor);
    expect(directory.byToken("t2")).toBe(directory.get(source, "a/b c"));
    expect(directory.byToken("t3")).toBeUndefined();
    expect(directory.get("other", "a/b c")).toBeUndefined();
    expect(directory.count(source)).toBe(1);
    expect([...directory.of(source)]).toEqual([directory.byToken("t1")]);
    expect([...directory.of("other")]).toEqual([]);
  });

  it("follows changes: tokens come and go with their actor", () => {
    const { directory, changes } = setUp();
    directory.changed([record(told(), "t1", "t2")]);
    const before = directory.byToken("t1");
    directory.changed([record(told({ name: "renamed" }), "t2", "t3")]);

    expect(directory.byToken("t1")).toBeUndefined();
    expect(directory.byToken("t3")?.actor.name).toBe("renamed");
    expect(changes.at(-1)).toEqual({ kind: "actor", source, id: "acme", before, after: directory.byToken("t3") });

    directory.changed([actorRemoval(source, "acme")]);
    expect([directory.byToken("t2"), directory.byToken("t3"), directory.get(source, "acme")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(directory.count(source)).toBe(0);
    expect(directory.sources()).toEqual([]);
    expect(changes.at(-1)).toMatchObject({ kind: "actor", id: "acme", after: undefined });
  });

  it("comes to the same answer whose a token is that two actors claim, in whatever order they are told", () => {
    const older = record(told({ id: "z", updatedAt: new Date(1_000) }), "shared");
    const newer = record(told({ id: "b", updatedAt: new Date(2_000) }), "shared");
    const tied = record(told({ id: "a", updatedAt: new Date(2_000) }), "shared");
    const orders = [
      [older, newer, tied],
      [tied, newer, older],
      [newer, tied, older],
    ];
    for (const order of orders) {
      const { directory } = setUp();
      directory.changed(order);
      expect(directory.byToken("shared")?.id).toBe("a");
      directory.changed([actorRemoval(source, "a")]);
      expect(directory.byToken("shared")?.id).toBe("b");
      directory.changed([actorRemoval(source, "b")]);
      expect(directory.byToken("shared")?.id).toBe("z");
      directory.changed([actorRemoval(source, "z")]);
      expect(directory.byToken("shared")).toBeUndefined();
    }
  });

  it("applies overrides when they come, whichever of the two comes first", () => {
    const { directory } = setUp();
    const actor = told({ features: { chat_completions: { limits: [makeLimit({ amount: 1 })], models: ["a"] } } });
    directory.changed([overrideRecord(override(chatLimits(7))), record(actor, "t")]);
    expect(amounts(directory)).toEqual([7]);
    expect(directory.byToken("t")?.told).toEqual(actor);
    expect(directory.byToken("t")?.overrides).toEqual([override(chatLimits(7))]);

    directory.changed([overrideRecord(override({ kind: "access", enabled: false }))]);
    expect(directory.byToken("t")?.actor.accessEnabled).toBe(false);
    directory.changed([record({ ...actor, name: "synced anew" }, "t")]);
    expect(directory.byToken("t")?.actor).toMatchObject({ name: "synced anew", accessEnabled: false });
    expect([...directory.overrides()]).toHaveLength(2);

    directory.changed([overrideRemoval(source, "acme", "limits/chat_completions")]);
    expect(amounts(directory)).toEqual([1]);
    directory.changed([overrideRemoval(source, "acme", "access")]);
    expect(directory.byToken("t")?.actor).toBe(directory.byToken("t")?.told);
    expect([...directory.overrides()]).toEqual([]);
  });

  it("stops applying an override at its end, to the millisecond, and says so", async () => {
    const { directory, clock, changes } = setUp();
    directory.changed([
      record(told({ features: { chat_completions: { limits: [makeLimit({ amount: 1 })] } } }), "t"),
      overrideRecord(override(chatLimits(7), { expiresAt: clock.now() + 1_000 })),
      overrideRecord(override({ kind: "access", enabled: false }, { expiresAt: clock.now() + 2_000 })),
    ]);
    await clock.advanceMs(999);
    expect(amounts(directory)).toEqual([7]);
    expect(directory.overridesOf(source, "acme")).toHaveLength(2);
    changes.length = 0;

    await clock.advanceMs(1);

    expect(directory.overridesOf(source, "acme")).toHaveLength(1);
    expect([...directory.overrides()]).toHaveLength(1);
    expect(directory.byToken("t")?.actor.features.chat_completions?.limits[0]?.amount).toBe(1);
    expect(directory.byToken("t")?.actor.accessEnabled).toBe(false);
    expect(changes).toHaveLength(1);
    await clock.advanceMs(1_000);
    expect([...directory.of(source)][0]?.actor.accessEnabled).toBe(true);
  });

  it("applies overrides to actors that are kept elsewhere", async () => {
    const { directory, clock, changes } = setUp();
    const acme = makeActor({ source: "static" });
    expect(directory.effective(acme)).toBe(acme);
    const off = override({ kind: "access", enabled: false }, { source: "static", expiresAt: clock.now() + 10 });
    directory.changed([overrideRecord(off)]);

    expect(changes).toEqual([{ kind: "actor", source: "static", id: "acme", before: undefined, after: undefined }]);
    expect(directory.effective(acme).accessEnabled).toBe(false);
    expect(directory.effective(makeActor({ source: "static", id: "other" })).accessEnabled).toBe(true);
    await clock.advanceMs(10);
    expect(directory.effective(acme)).toBe(acme);
  });

  it("knows revocations and unknown tokens until they end", async () => {
    const { directory, clock, changes } = setUp();
    const revocation = { tokenHash: "t", reason: "leaked", revokedBy: "ops", revokedAt: 1 };
    const ending = { ...revocation, tokenHash: "e", expiresAt: clock.now() + 10 };
    directory.changed([revocationRecord(revocation), revocationRecord(ending), unknownRecord("u", clock.now() + 10)]);

    expect(directory.revocation("t")).toEqual(revocation);
    expect(directory.revocation("e")).toEqual(ending);
    expect(directory.revocation("u")).toBeUndefined();
    expect(directory.isUnknown("u")).toBe(true);
    expect(directory.isUnknown("t")).toBe(false);
    await clock.advanceMs(10);
    expect(directory.revocation("t")).toEqual(revocation);
    expect(directory.revocation("e")).toBeUndefined();
    expect(directory.isUnknown("u")).toBe(false);

    directory.changed([revocationRemoval("t")]);
    expect(directory.revocation("t")).toBeUndefined();
    expect(changes.at(-1)).toEqual({ kind: "revocation", tokenHash: "t", revocation: undefined });
  });

  it("keeps a bounded number of unknown tokens, the youngest", () => {
    const { directory, clock } = setUp();
    const end = clock.now() + 60_000;
    for (let index = 0; index < maxUnknown + 10; index++) directory.changed([unknownRecord(`u${index}`, end)]);

    expect(directory.isUnknown("u9")).toBe(false);
    expect(directory.isUnknown("u10")).toBe(true);
    expect(directory.isUnknown(`u${maxUnknown + 9}`)).toBe(true);
  });

  it("knows how syncs stand, and whether somebody watches", async () => {
    const { directory, clock } = setUp();
    const state = {
      running: {
        id: "1",
        startedAt: 1,
        process: "p",
        dryRun: false,
        allowShrink: true,
        counts: { ...noSyncCounts, estimatedTotal: 7 },
        until: 9,
      },
      last: {
        id: "0",
        startedAt: 1,
        endedAt: 2,
        outcome: "failed",
        counts: noSyncCounts,
        error: "timed out",
        process: "p",
        dryRun: false,
        hold: { reason: "too few", wouldRemove: 20, known: 30, allowedShare: 0.2 },
      },
      completedAt: 3,
      nextAt: 4,
      failures: 5,
    } as const;
    directory.changed([syncRecord(source, state), syncRecord("other", {})]);
    expect(directory.sync(source)).toEqual(state);
    expect(directory.sync("other")).toEqual({});
    expect(directory.sync("third")).toBeUndefined();

    expect(directory.isWatched()).toBe(false);
    directory.changed([watcherRecord("w1", clock.now() + 10), watcherRecord("w2", clock.now() + 20)]);
    await clock.advanceMs(10);
    expect(directory.isWatched()).toBe(true);
    await clock.advanceMs(10);
    expect(directory.isWatched()).toBe(false);
  });

  it("drops what is not told again when everything is told anew, and goes on serving meanwhile", async () => {
    const { directory, changes } = setUp();
    expect(directory.state()).toEqual({ loaded: false, connected: false });
    directory.reloading();
    const many = Array.from({ length: 5_000 }, (_, index) => record(told({ id: `a${index}` }), `t${index}`));
    directory.changed(many);
    directory.changed([
      record(told({ id: "kept" }), "kept"),
      revocationRecord({ tokenHash: "r", reason: "", revokedBy: "", revokedAt: 1 }),
      overrideRecord(override({ kind: "access", enabled: false }, { id: "kept" })),
    ]);
    directory.reloaded();
    directory.connected(true);
    expect(directory.state()).toEqual({ loaded: true, connected: true });
    expect(changes.slice(-2).map(({ kind }) => kind)).toEqual(["state", "state"]);

    directory.connected(false);
    directory.reloading();
    expect(directory.byToken("t7")).toBeDefined();
    directory.changed([record(told({ id: "kept" }), "kept"), record(told({ id: "new" }), "new")]);
    directory.reloaded();
    await new Promise<void>((resolve) => {
      directory.onChange(() => directory.count(source) === 2 && resolve());
    });

    expect([...directory.of(source)].map(({ id }) => id)).toEqual(["kept", "new"]);
    expect(directory.byToken("kept")?.actor.accessEnabled).toBe(true);
    expect(directory.byToken("t7")).toBeUndefined();
    expect(directory.revocation("r")).toBeUndefined();
    expect(directory.state()).toEqual({ loaded: true, connected: false });
  });

  it("leaves out what makes no sense, keeps what was known, and says so without the value", async () => {
    const { directory, log } = setUp();
    const good = record(told(), "t");
    const bad = (value: string): StoreRecord => ({ ...good, value });
    const parsed = JSON.parse(good.value ?? "") as object;
    const strange = [
      "secret garbage",
      "",
      "null",
      "[]",
      "{}",
      JSON.stringify({ ...parsed, v: 2 }),
      JSON.stringify({ ...parsed, tokenHashes: "t" }),
      JSON.stringify({ ...parsed, features: {} }),
      JSON.stringify({ ...parsed, features: "secret garbage" }),
      JSON.stringify({ ...parsed, features: JSON.stringify({ chat_completions: { limits: [{}], models: [] } }) }),
      JSON.stringify({ ...parsed, updatedAt: "yesterday" }),
    ];
    directory.changed([good]);
    directory.reloading();
    directory.changed(strange.map(bad));
    directory.changed([
      { kind: "syncs", key: "s", value: "x" },
      { kind: "unknown", key: "u", value: "x" },
      { kind: "revocations", key: "r", value: "{}" },
      { kind: "overrides", key: "access portal/acme", value: JSON.stringify({ v: 1, subject: { kind: "limits" } }) },
      { kind: "constructor" as never, key: "k", value: "{}" },
    ]);
    directory.reloaded();
    await new Promise((resolve) => setImmediate(resolve));

    expect(directory.byToken("t")?.actor).toEqual(told());
    expect(directory.overridesOf(source, "acme")).toEqual([]);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatchObject({ level: "warn", fields: { kind: "actors", key: "portal/acme" } });
    expect(JSON.stringify(log.lines)).not.toContain("secret garbage");
  });

  it("gives equal features of different actors as one object, so that thousands need little memory", () => {
    const { directory } = setUp();
    const features = { chat_completions: { limits: [makeLimit({ amount: 123 })] } };
    directory.changed([record(told({ id: "a", features })), record(told({ id: "b", features }))]);

    expect(directory.get(source, "a")?.actor.features).toBe(directory.get(source, "b")?.actor.features);
  });

  it("tells nobody who stopped listening", () => {
    const { directory } = setUp();
    let heard = 0;
    const stop = directory.onChange(() => heard++);
    directory.changed([record(told())]);
    stop();
    directory.changed([record(told())]);

    expect(heard).toBe(1);
  });
});

describe("overrides", () => {
  const cases: readonly [string, OverrideSubject[], unknown][] = [
    ["limits replace all of the feature", [chatLimits(3)], { limits: [makeLimit({ amount: 3 })], models: ["a"] }],
    [
      "requests in flight alone leave the limits",
      [{ kind: "limits", feature: "chat_completions", limits: [], inFlight: 2 }],
      { limits: [makeLimit({ amount: 1 }), makeLimit({ amount: 2, burst: true })], inFlight: 2, models: ["a"] },
    ],
    [
      "models replace those of the source",
      [{ kind: "allowed_models", feature: "chat_completions", models: ["b", "c"] }],
      { limits: [makeLimit({ amount: 1 }), makeLimit({ amount: 2, burst: true })], models: ["b", "c"] },
    ],
    [
      "no models are no access",
      [{ kind: "allowed_models", feature: "chat_completions", models: [] }, chatLimits(3)],
      undefined,
    ],
  ];
  it.each(cases)("%s", (_, subjects, expected) => {
    const { directory } = setUp();
    const limits = [makeLimit({ amount: 1 }), makeLimit({ amount: 2, burst: true })];
    directory.changed([record(told({ features: { chat_completions: { limits, models: ["a"] } } }))]);
    directory.changed(subjects.map((subject) => overrideRecord(override(subject))));

    expect(directory.get(source, "acme")?.actor.features.chat_completions).toEqual(expected);
  });

  it("grant a feature by limits, and by nothing else", () => {
    const { directory } = setUp();
    directory.changed([record(told())]);
    const embeddings = (): unknown => directory.get(source, "acme")?.actor.features.embeddings;

    directory.changed([
      overrideRecord(override({ kind: "limits", feature: "embeddings", limits: [], inFlight: 3 })),
      overrideRecord(override({ kind: "allowed_models", feature: "embeddings", models: ["x"] })),
      overrideRecord(override({ kind: "access", enabled: true })),
    ]);
    expect(embeddings()).toBeUndefined();

    directory.changed([
      overrideRecord(override({ kind: "limits", feature: "embeddings", limits: [makeLimit()], inFlight: 3 })),
    ]);
    expect(embeddings()).toEqual({ limits: [makeLimit()], inFlight: 3, models: ["x"] });
    directory.changed([overrideRemoval(source, "acme", "allowed_models/embeddings")]);
    expect(embeddings()).toEqual({ limits: [makeLimit()], inFlight: 3, models: ["*"] });
  });
});
