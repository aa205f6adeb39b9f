import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { actorRecord, overrideRecord, revocationRecord, revocationRemoval } from "../../src/actors/records.js";
import { SourceError } from "../../src/actors/source.js";
import { UnavailableError } from "../../src/errors.js";
import { makeActor } from "../helpers/make-actor.js";
import { tokenOf } from "../helpers/scripted-source.js";
import { allOfTime, leap, pass, settled } from "../helpers/time.js";
import { hasher, hour, invalid, setUp, unavailable } from "./sources-setup.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...allOfTime] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a token that nobody has heard of", () => {
  it("is asked for once, and known from then on", async () => {
    const { source, find } = await setUp();
    source.set("a");

    expect(await find(tokenOf("a"))).toMatchObject({ id: "a", source: "portal" });
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    expect(source.lookups).toEqual([tokenOf("a")]);
  });

  it("is asked for once by many who come together", async () => {
    const { source, sources } = await setUp();
    source.set("a");
    source.beforeLookup = () => pause(500);

    const found = await settled(Promise.all(Array.from({ length: 1_000 }, () => sources.find(tokenOf("a")))));

    expect(new Set(found.map(({ id }) => id))).toEqual(new Set(["a"]));
    expect(source.lookups.length).toBe(1);
  });

  it("is asked for once by several processes, which all get the answer", async () => {
    const { source, start } = await setUp();
    source.set("a");
    source.beforeLookup = () => pause(500);
    const processes = ["one", "two", "three", "four"].map((process) => start(process));

    const found = await settled(Promise.all(processes.map((each) => each.find(tokenOf("a")))));

    expect(found.map(({ id }) => id)).toEqual(["a", "a", "a", "a"]);
    expect(source.lookups.length).toBe(1);
  });

  it("is nobody's when its source says so, for everybody, and not asked for again for half a minute", async () => {
    const { source, find, start } = await setUp({ source: { denial: "access token denied: not found" } });
    source.beforeLookup = () => pause(100);
    const other = start("two");

    const both = Promise.allSettled([find(tokenOf("x")), find(tokenOf("x"), other)]);
    for (const result of await settled(both)) expect(result).toMatchObject({ reason: invalid });
    await expect(find(tokenOf("x"))).rejects.toMatchObject({
      ...invalid,
      message: "portal: failed to validate access token: access token denied: not found",
    });
    await pass(29_000);
    await expect(find(tokenOf("x"), other)).rejects.toMatchObject(invalid);
    expect(source.lookups.length).toBe(1);

    await pass(35_000);
    source.set("x");
    expect(await find(tokenOf("x"))).toMatchObject({ id: "x" });
  });

  it.each([
    ["too short", "slk_123", "token not from source: no source found for token"],
    ["of no known form", "sgx_something-longer-than-twenty", "token not from source: no source found for token"],
    ["missing", undefined, "Cody Gateway access not enabled"],
  ])("costs nothing when it is %s", async (_, token, message) => {
    const { source, find, store } = await setUp();
    const acquire = vi.spyOn(store, "acquire");

    await expect(find(token)).rejects.toMatchObject({ name: "UnauthenticatedError", message });
    expect(source.lookups).toEqual([]);
    expect(acquire).not.toHaveBeenCalled();
  });

  it("is spelt in several ways that are the same", async () => {
    const { source, find } = await setUp();
    source.set("a");

    await find(tokenOf("a").replace("slk_", "sgs_"));
    await find(tokenOf("a"));
    expect(source.lookups).toEqual([tokenOf("a")]);
  });
});

describe("a source that cannot say", () => {
  it.each([
    ["fails", async () => Promise.reject(new Error("boom"))],
    ["does not answer", () => new Promise<never>(() => {})],
  ])("and %s leaves unknown tokens unanswered, with the time to try again", async (_, fault) => {
    const { source, find, outcomes, sources } = await setUp();
    source.beforeLookup = fault;

    await expect(find(tokenOf("a"))).rejects.toMatchObject({ ...unavailable, retryAfterMs: 5_000 });
    expect(outcomes).toEqual(["failed"]);
    expect(sources.health("portal").state).toBe("failing");
    await expect(find(tokenOf("a"))).rejects.toMatchObject(unavailable);
    expect(source.lookups.length).toBe(1);

    source.beforeLookup = async () => {};
    source.set("a");
    await pass(5_100);
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    expect(sources.health("portal")).toMatchObject({ state: "available" });
  });

  it("is left alone after some failures, then tried once", async () => {
    const { source, find, sources } = await setUp();
    source.beforeLookup = async () => Promise.reject(Object.assign(new Error("x"), { code: "ECONNREFUSED" }));
    for (let at = 0; at < 5; at++) {
      await expect(find(tokenOf(`t${at}`))).rejects.toMatchObject(unavailable);
      await pass(200);
    }
    expect(sources.health("portal")).toMatchObject({ state: "paused", error: "connection refused" });

    for (let at = 5; at < 50; at++) await expect(find(tokenOf(`t${at}`))).rejects.toMatchObject(unavailable);
    expect(source.lookups.length).toBe(5);

    await pass(1_300);
    await Promise.allSettled([find(tokenOf("u1")), find(tokenOf("u2"))]);
    expect(source.lookups.length).toBe(6);
  });

  it("is waited for as long as it was said, also by actors of it that it does not list", async () => {
    const day = 24 * hour;
    const one = async (token: string | undefined) =>
      token === tokenOf("a") ? { actor: makeActor({ id: "a", source: "portal" }), tokens: undefined } : undefined;
    const { source, find } = await setUp({ source: { lookup: one }, freshness: { maxStaleMs: 30 * day } });
    await find(tokenOf("a"));
    source.lookup = async () => Promise.reject(new Error("away"));

    leap(29 * day);
    await pass(1_000);
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    leap(2 * day);
    await expect(find(tokenOf("a"))).rejects.toMatchObject(unavailable);
  });

  it("is not left alone for actors of which what it says makes no sense", async () => {
    const { source, find, sources, outcomes } = await setUp();
    const error = new SourceError("told of an actor that makes no sense", { ofActor: true });
    source.beforeLookup = async (token) => (token === tokenOf("a") ? undefined : Promise.reject(error));
    source.set("a");
    for (let at = 0; at < 8; at++) {
      await expect(find(tokenOf(`t${at}`))).rejects.toMatchObject(unavailable);
      await pass(200);
    }

    expect(outcomes).toEqual(Array(8).fill("failed"));
    expect(sources.health("portal").state).toBe("available");
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
  });

  it("does not make known actors wait or fail, for a day", async () => {
    const { source, find, clock } = await setUp({ source: { staleAfterMs: hour / 4 } });
    source.set("a");
    await find(tokenOf("a"));
    source.beforeLookup = async () => Promise.reject(new Error("away"));

    for (const end = clock.now() + 23 * hour; clock.now() < end; leap(hour / 4)) {
      await pass(40_000);
      expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    }

    leap(2 * hour);
    await expect(find(tokenOf("a"))).rejects.toMatchObject(unavailable);
    source.beforeLookup = async () => {};
    await pass(30_000);
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
  });

  it("keeps others waiting for no longer than its own patience, in other processes too", async () => {
    const { source, start, clock, find } = await setUp();
    source.beforeLookup = () => new Promise<never>(() => {});
    const two = start("two");

    const results = await settled(Promise.allSettled([find(tokenOf("a")), find(tokenOf("a"), two)]));

    for (const result of results) expect(result).toMatchObject({ reason: unavailable });
    expect(clock.now()).toBeLessThan(Date.UTC(2036, 0, 1));
    expect(source.lookups.length).toBe(1);
  });
});

describe("look-ups", () => {
  it("are at most ten a second, whatever comes, in all processes together", async () => {
    const { source, start, outcomes } = await setUp();
    const processes = ["one", "two", "three", "four"].map((process) => start(process));
    const refused: unknown[] = [];
    const perSecond: number[] = [];

    for (let second = 0; second < 10; second++) {
      const before = source.lookups.length;
      for (let slice = 0; slice < 10; slice++) {
        for (let at = 0; at < 40; at++) {
          const token = tokenOf(`${second} ${slice} ${at}`);
          processes[at % 4]?.find(token).catch((error: unknown) => refused.push(error));
        }
        await pass(100);
      }
      perSecond.push(source.lookups.length - before);
    }
    await pass(1_000);

    expect(Math.max(...perSecond)).toBeLessThanOrEqual(10);
    expect(source.lookups.length).toBeGreaterThan(20);
    expect(outcomes).toContain("limited");
    for (const error of refused) {
      const { reason } = error as { reason: string };
      expect(["SOURCE_UNAVAILABLE", "TOKEN_INVALID"]).toContain(reason);
      if (reason === "SOURCE_UNAVAILABLE") expect(error).toHaveProperty("retryAfterMs");
    }
  });

  it("leave some for actors that are in use while unknown tokens pour in", async () => {
    const { source, sources, find } = await setUp({ source: { staleAfterMs: hour / 4 } });
    source.set("a");
    await find(tokenOf("a"));
    await pass(hour / 2);
    source.lookups.length = 0;

    for (let at = 0; at < 500; at++) {
      sources.find(tokenOf(`t${at}`)).catch(() => {});
      if (at % 20 === 19) await find(tokenOf("a"));
      await pass(5);
    }

    expect(source.lookups).toContain(tokenOf("a"));
  });

  it("go on where the store is away, in each process for itself, and are remembered there", async () => {
    const away = async (): Promise<never> => {
      throw new UnavailableError("ACTOR_STORE_UNAVAILABLE", "away", 1_000);
    };
    const { source, find } = await setUp({ store: { acquire: away, write: away, take: away } });
    source.set("a");

    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    expect(source.lookups.length).toBe(1);
    await expect(find(tokenOf("x"))).rejects.toMatchObject(invalid);
    await expect(find(tokenOf("x"))).rejects.toMatchObject(invalid);
    expect(source.lookups.length).toBe(2);
    await expect(find(tokenOf("y"))).rejects.toMatchObject(unavailable);
    expect(source.lookups.length).toBe(2);
  });
});

describe("an actor that is known", () => {
  it("is refreshed in the background once it is stale", async () => {
    const { source, find, sources, directory } = await setUp({ source: { staleAfterMs: hour / 4 } });
    source.set("a");
    await find(tokenOf("a"));
    await pass(hour / 5);
    await find(tokenOf("a"));
    expect(source.lookups.length).toBe(1);

    await pass(hour / 10);
    source.set("a", { name: "New name" });
    const known = directory.get("portal", "a");
    expect(known && sources.isStale(known)).toBe(true);
    expect(await find(tokenOf("a"))).toMatchObject({ name: "a" });
    await pass(100);

    expect(await find(tokenOf("a"))).toMatchObject({ name: "New name" });
    expect(source.lookups.length).toBe(2);
  });

  it("is refused once a refresh said that the token is nobody's", async () => {
    const { source, find } = await setUp({ source: { staleAfterMs: hour / 4 } });
    source.set("a");
    await find(tokenOf("a"));
    source.actors.clear();
    await pass(hour / 2);

    await find(tokenOf("a"));
    await pass(100);
    await expect(find(tokenOf("a"))).rejects.toMatchObject(invalid);
  });

  it("has limits in common with all its tokens, and each token its own age", async () => {
    const { source, find, directory } = await setUp({ source: { staleAfterMs: hour / 4 } });
    const lookup = (name: string) => async (token: string | undefined) => {
      source.lookups.push(token);
      return token === tokenOf("gone")
        ? undefined
        : { actor: makeActor({ id: "7", name, source: "portal" }), tokens: undefined };
    };
    source.lookup = lookup("old");
    await find(tokenOf("first"));
    await pass(hour / 8);
    source.lookup = lookup("new");
    expect(await find(tokenOf("second"))).toMatchObject({ name: "new" });

    expect(await find(tokenOf("first"))).toMatchObject({ name: "new" });
    expect(directory.count("portal")).toBe(1);
    expect(source.lookups.length).toBe(2);

    // The first token was withdrawn: that the second is in use must not keep it.
    source.lookup = async (token) => {
      source.lookups.push(token);
      return token === tokenOf("first")
        ? undefined
        : { actor: makeActor({ id: "7", source: "portal" }), tokens: undefined };
    };
    await pass(hour / 6);
    await find(tokenOf("second"));
    await find(tokenOf("first"));
    await pass(100);
    await expect(find(tokenOf("first"))).rejects.toMatchObject(invalid);
    expect(await find(tokenOf("second"))).toMatchObject({ id: "7" });
  });

  it("is served and refused as operators say", async () => {
    const { source, find, directory, clock } = await setUp();
    source.set("a");
    await find(tokenOf("a"));
    const setBy = { setBy: "op", setAt: clock.now(), reason: "why" };
    directory.changed([
      overrideRecord({ source: "portal", id: "a", subject: { kind: "access", enabled: false }, ...setBy }),
      overrideRecord({ source: "static", id: "fixed", subject: { kind: "access", enabled: false }, ...setBy }),
    ]);

    expect((await find(tokenOf("a"))).accessEnabled).toBe(false);
    expect((await find("the-token-of-the-static-actor")).accessEnabled).toBe(false);
  });

  it("is refused with a token that is revoked, of whatever source", async () => {
    const { source, find, directory, clock } = await setUp();
    source.set("a");
    await find(tokenOf("a"));
    for (const token of [tokenOf("a"), tokenOf("unheard"), "the-token-of-the-static-actor"]) {
      const tokenHash = hasher.hash(token);
      directory.changed([revocationRecord({ tokenHash, reason: "leaked", revokedBy: "op", revokedAt: clock.now() })]);
      await expect(find(token)).rejects.toMatchObject({ ...invalid, message: "access token is revoked" });
      directory.changed([revocationRemoval(tokenHash)]);
    }
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
    expect(source.lookups.length).toBe(1);
  });
});

describe("a listed actor", () => {
  it("stays as a sync told of it that began after it was asked for, and was answered before", async () => {
    const { source, sources, find, directory, clock } = await setUp({ listed: true });
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    source.lookupId = async (id) => {
      const found = source.actors.get(id);
      await answered;
      return found;
    };
    source.set("a");
    await find(tokenOf("a"));
    const refreshed = sources.refresh({ source: "portal", id: "a" });
    await pass(1_000);
    const told = makeActor({ id: "a", source: "portal", accessEnabled: false, updatedAt: new Date(clock.now()) });
    directory.changed([actorRecord({ told, tokenHashes: [hasher.hash(tokenOf("a"))] })]);
    answer();

    expect(await settled(refreshed)).toMatchObject({ known: { actor: { accessEnabled: false } } });
    expect(await find(tokenOf("a"))).toMatchObject({ accessEnabled: false });

    source.set("a", { name: "New name" });
    expect(await settled(sources.refresh({ source: "portal", id: "a" }))).toMatchObject({ changed: true });
    expect(await find(tokenOf("a"))).toMatchObject({ name: "New name", accessEnabled: true });
  });

  it("is not asked for while syncs keep it, and one by one when they fail", async () => {
    const { source, find, directory, clock } = await setUp({ listed: true });
    source.set("a");
    await find(tokenOf("a"));
    const synced = () =>
      directory.changed([{ kind: "syncs", key: "portal", value: JSON.stringify({ v: 1, completedAt: clock.now() }) }]);
    for (let at = 0; at < 30; at++) {
      synced();
      await pass(120_000);
      await find(tokenOf("a"));
    }
    expect(source.lookups.length).toBe(1);

    await pass(400_000);
    await find(tokenOf("a"));
    await pass(100);
    expect(source.lookups.length).toBe(2);
  });

  it("that is no longer listed, and was kept, is served for a day and then has to be confirmed", async () => {
    const { source, find, store } = await setUp({ listed: true });
    source.set("a");
    await find(tokenOf("a"));
    const record = { name: "a", accessEnabled: true, updatedAt: store.now(), features: "{}", unlistedAt: store.now() };
    const value = JSON.stringify({ v: 1, ...record, tokenHashes: [hasher.hash(tokenOf("a"))] });
    await settled(store.write([{ kind: "actors", key: "portal/a", value }]));

    leap(23 * hour);
    await find(tokenOf("a"));
    expect(source.lookups.length).toBe(1);

    leap(2 * hour);
    source.actors.clear();
    await expect(find(tokenOf("a"))).rejects.toMatchObject(invalid);
    expect(source.lookups.length).toBe(2);
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
