// What was told before the clock of the machine, or of Redis, was set back bears times that are yet to come.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { tokenOf } from "../helpers/scripted-source.js";
import { allOfTime, leap, pass, settled } from "../helpers/time.js";
import { hour, setUp, unavailable } from "./sources-setup.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...allOfTime] });
});
afterEach(() => {
  vi.useRealTimers();
});

const year = 365 * 24 * hour;

describe("when the clock was set back", () => {
  it("an actor is served, and its source asked for it", async () => {
    const { source, find, directory, clock } = await setUp({ source: { staleAfterMs: hour / 4 } });
    source.set("a");
    await find(tokenOf("a"));
    source.set("a", { accessEnabled: false });
    await pass(3_000);
    leap(-year);

    expect(await find(tokenOf("a"))).toMatchObject({ accessEnabled: true });
    await pass(100);

    expect(await find(tokenOf("a"))).toMatchObject({ accessEnabled: false });
    expect(directory.get("portal", "a")?.told.updatedAt.getTime()).toBeLessThanOrEqual(clock.now());
    await pass(60_000);
    await find(tokenOf("a"));
    expect(source.lookups.length).toBe(2);
  });

  it("an actor is refreshed on its own request, whatever is left of its cool-down", async () => {
    const { source, sources, find } = await setUp({ source: { coolDownMs: 300_000 } });
    source.set("a");
    await find(tokenOf("a"));
    source.set("a", { name: "New name" });
    leap(-year);

    expect(await settled(sources.refreshFor(tokenOf("a")))).toMatchObject({ changed: true });
  });

  it("a token is nobody's for no longer than else", async () => {
    const { source, find } = await setUp();
    await expect(find(tokenOf("a"))).rejects.toThrow("nobody has it");
    source.set("a");
    // Until every process surely knows the answer, the next one waits for it.
    await pass(3_000);
    leap(-year);

    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
  });

  it("a source is left alone for no longer than else", async () => {
    const { source, sources, find } = await setUp();
    source.beforeLookup = async () => Promise.reject(new Error("away"));
    for (let at = 0; at < 5; at++) {
      await expect(find(tokenOf(`t${at}`))).rejects.toMatchObject(unavailable);
      await pass(200);
    }
    expect(sources.health("portal").state).toBe("paused");
    source.beforeLookup = async () => {};
    source.set("a");
    leap(-year);

    expect(await find(tokenOf("a"))).toMatchObject({ id: "a" });
  });

  it("tokens confirmed since are kept rather than those from before", async () => {
    const { source, find, directory, clock } = await setUp();
    source.actors.clear();
    const tokens = Array.from({ length: 25 }, (_, index) => tokenOf(`t${index}`));
    source.set("a");
    source.lookup = async (token) => {
      source.lookups.push(token);
      const actor = source.actors.get("a")?.actor;
      return actor && { actor, tokens: undefined };
    };
    for (const token of tokens.slice(0, 20)) {
      await find(token);
      await pass(1_000);
    }
    leap(-year);
    for (const token of tokens.slice(20)) {
      await find(token);
      await pass(1_000);
    }
    const asked = source.lookups.length;

    for (const token of tokens.slice(20)) await find(token);
    expect(source.lookups.length).toBe(asked);
    expect(directory.get("portal", "a")?.tokenTimes?.every((time) => time <= clock.now())).toBe(true);
  });
});
