import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { overrideRecord, overrideRemoval } from "../../src/actors/records.js";
import { makeLimit } from "../helpers/make-actor.js";
import { tokenOf } from "../helpers/scripted-source.js";
import { allOfTime, leap, pass, settled } from "../helpers/time.js";
import { hour, invalid, setUp, unavailable } from "./sources-setup.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...allOfTime] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a refresh", () => {
  it("brings what is new, but not again within the cool-down", async () => {
    const { source, sources, find } = await setUp({ source: { coolDownMs: 300_000 } });
    source.set("a");
    await find(tokenOf("a"));

    await pass(60_000);
    await expect(settled(sources.refreshFor(tokenOf("a")))).rejects.toMatchObject({
      reason: "RECENTLY_REFRESHED",
      retryAfterMs: expect.closeTo(240_000, -3),
    });
    await pass(250_000);
    source.set("a", { name: "New name" });
    expect(await settled(sources.refreshFor(tokenOf("a")))).toMatchObject({ changed: true, known: { id: "a" } });
    expect(await find(tokenOf("a"))).toMatchObject({ name: "New name" });
    await expect(settled(sources.refreshFor(tokenOf("a")))).rejects.toMatchObject({ reason: "RECENTLY_REFRESHED" });
    expect(source.lookups.length).toBe(2);
  });

  it("is nothing for actors whose source is never asked", async () => {
    const { sources } = await setUp();

    expect(await settled(sources.refreshFor("the-token-of-the-static-actor"))).toBeUndefined();
    await expect(settled(sources.refresh({ source: "static", id: "fixed" }))).rejects.toMatchObject({
      reason: "SYNC_NOT_SUPPORTED",
    });
  });

  it("leaves what is known when the source cannot say", async () => {
    const { source, sources, find } = await setUp();
    source.set("a");
    await find(tokenOf("a"));
    source.beforeLookup = async () => Promise.reject(new Error("away"));

    await expect(settled(sources.refreshFor(tokenOf("a")))).rejects.toMatchObject(unavailable);
    await expect(settled(sources.refresh({ token: tokenOf("a") }))).rejects.toMatchObject(unavailable);
    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
  });

  it("is made by an operator at any time, by token and by id", async () => {
    const { source, sources, find } = await setUp({ source: { coolDownMs: 300_000 } });
    source.lookupId = async (id) => source.actors.get(id);
    source.set("a");
    expect(await settled(sources.refresh({ token: tokenOf("a") }))).toMatchObject({ changed: true });
    expect(await settled(sources.refresh({ token: tokenOf("a") }))).toMatchObject({ changed: false });

    source.set("a", { accessEnabled: false });
    expect(await settled(sources.refresh({ source: "portal", id: "a" }))).toMatchObject({ changed: true });
    expect((await find(tokenOf("a"))).accessEnabled).toBe(false);

    source.actors.clear();
    expect(await settled(sources.refresh({ source: "portal", id: "a" }))).toEqual({ known: undefined, changed: true });
    await expect(find(tokenOf("a"))).rejects.toMatchObject(invalid);
  });

  it("follows a refusal when the actor comes again, outside of the cool-down", async () => {
    const { source, sources, find } = await setUp({ source: { coolDownMs: 300_000 } });
    source.set("a");
    await find(tokenOf("a"));
    source.set("a", { name: "New name" });
    sources.refused({ source: "portal", id: "a" });

    await pass(200_000);
    await find(tokenOf("a"));
    await pass(100);
    expect(source.lookups.length).toBe(1);

    await pass(150_000);
    await find(tokenOf("a"));
    await pass(100);
    expect(await find(tokenOf("a"))).toMatchObject({ name: "New name" });
    await pass(400_000);
    await find(tokenOf("a"));
    await pass(100);
    expect(source.lookups.length).toBe(2);
  });
});

describe("a changed interval of a limit", () => {
  const day = 24 * hour;
  const features = (amount: number, windowMs: number) => ({
    chat_completions: { limits: [makeLimit({ amount, windowMs }), makeLimit({ windowMs: 10_000, burst: true })] },
  });

  async function changeOf(resetsUsage: boolean) {
    const all = await setUp({ source: { staleAfterMs: hour / 4, ...(resetsUsage && { resetsUsage }) } });
    const { source, find } = all;
    source.set("a", { features: features(100, 30 * day) });
    await find(tokenOf("a"));
    const change = async (amount: number, windowMs: number) => {
      source.set("a", { features: features(amount, windowMs) });
      leap(hour / 2);
      await pass(40_000);
      await find(tokenOf("a"));
      await pass(100);
    };
    return { ...all, change };
  }

  it("starts its window anew where the source promises that, and nothing else does", async () => {
    const { resets, change, source } = await changeOf(true);
    expect(resets).toEqual([]);

    await change(500, 30 * day);
    expect(resets).toEqual([]);
    await change(500, day);
    expect(resets).toEqual(["a chat_completions"]);
    await change(500, day);
    expect(resets.length).toBe(1);

    const { beforeLookup } = source;
    source.beforeLookup = async () => Promise.reject(new Error("away"));
    await change(500, day);
    source.beforeLookup = beforeLookup;
    await pass(60_000);
    await change(500, day);
    expect(resets.length).toBe(1);
  });

  it("changes nothing while an operator has set other limits", async () => {
    const { resets, change, directory, clock } = await changeOf(true);
    const set = { reason: "r", setBy: "op", setAt: clock.now(), source: "portal", id: "a" };
    const subject = { kind: "limits", feature: "chat_completions", limits: [makeLimit({ windowMs: day })] } as const;
    directory.changed([overrideRecord({ ...set, subject })]);

    await change(100, day);
    expect(resets).toEqual([]);

    directory.changed([overrideRemoval("portal", "a", "limits/chat_completions")]);
    await change(100, 7 * day);
    expect(resets).toEqual(["a chat_completions"]);
  });

  it("changes nothing of what was used with other sources", async () => {
    const { resets, change } = await changeOf(false);

    await change(100, day);

    expect(resets).toEqual([]);
  });
});
