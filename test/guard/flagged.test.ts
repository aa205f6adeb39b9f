import { describe, expect, it } from "vitest";
import { createFlaggedPrompts, type FlaggedStore } from "../../src/guard/flagged.js";
import { createMemoryFlaggedStore } from "../../src/guard/memory-store.js";
import { createSeal, type NamedKey } from "../../src/guard/seal.js";
import { flaggedRequest } from "../contract/flagged-store.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { silentLog } from "../helpers/log.js";

const key = (name: string, byte: string): NamedKey => ({ name, key: Buffer.alloc(32, byte) });
const { traceId, feature, actor, model, reasons, blocked } = flaggedRequest();
const request = { traceId, feature, actor, model, reasons, blocked };

function promptsOn(store: FlaggedStore, keys: readonly [NamedKey, ...NamedKey[]] = [key("a", "a")]) {
  return createFlaggedPrompts({ store, clock: fakeClock(), log: silentLog }, { keys, ttlMs: 3_600_000, most: 10 });
}

describe("a seal", () => {
  it("opens what it closed, for the same purpose, and nothing that was changed", () => {
    const seal = createSeal([key("a", "a")]);
    const sealed = seal.close("the text, with Grüße 🙂", "p1");

    expect(seal.open(sealed, "p1")).toBe("the text, with Grüße 🙂");
    expect(sealed).not.toContain(Buffer.from("the text").toString("base64url"));
    expect(() => seal.open(sealed, "p2")).toThrow("changed");
    // Not its last letters: what they say may be the same in other words.
    const changed = `${sealed.slice(0, -4)}${sealed.at(-4) === "A" ? "B" : "A"}${sealed.slice(-3)}`;
    for (const wrong of [changed, sealed.slice(0, 20), "1.a.", "1.a.AAAA", "", "2.a.AAAA"])
      expect(() => seal.open(wrong, "p1")).toThrow(/changed|not there/);
  });

  it("says the same never alike", () => {
    const seal = createSeal([key("a", "a")]);
    expect(seal.close("x", "p")).not.toBe(seal.close("x", "p"));
  });

  it("opens what older keys closed, and closes with the first", () => {
    const old = createSeal([key("old", "o")]).close("x", "p");
    const both = createSeal([key("new", "n"), key("old", "o")]);

    expect(both.open(old, "p")).toBe("x");
    expect(both.close("x", "p")).toMatch(/^1\.new\./);
    expect(() => createSeal([key("new", "n")]).open(old, "p")).toThrow("not there");
    expect(() => createSeal([key("old", "x")]).open(old, "p")).toThrow("changed");
  });
});

describe("flagged prompts", () => {
  it("are kept encrypted under a key that names trace, feature and actor", async () => {
    const store = createMemoryFlaggedStore({ clock: fakeClock() });
    const prompts = promptsOn(store);
    const name = prompts.keep(request, "the prompt");
    await prompts.close();

    expect(name).toBe("prompt:t1:chat_completions:42");
    expect((await store.get(name))?.sealed).toMatch(/^1\.a\.[\w-]+$/);
    expect(await prompts.read(name)).toMatchObject({ prompt: "the prompt", request: { promptBytes: 10, actor } });
  });

  it("have a beginning and an end where they are long, by whole characters", async () => {
    const prompts = promptsOn(createMemoryFlaggedStore({ clock: fakeClock() }));
    const name = prompts.keep(request, `begin${"世".repeat(20_000)}end`);
    await prompts.close();
    const { prompt, request: kept } = await prompts.read(name);

    expect(kept.promptBytes).toBe(60_008);
    expect(Buffer.byteLength(prompt)).toBeLessThan(33_000);
    expect(prompt).toMatch(/^begin世+\n\[… \d+ bytes are left out …\]\n世+end$/);
  });

  it("are not found once the key is gone that they were encrypted under", async () => {
    const store = createMemoryFlaggedStore({ clock: fakeClock() });
    const prompts = promptsOn(store);
    const name = prompts.keep(request, "the prompt");
    await prompts.close();

    await expect(promptsOn(store, [key("b", "b")]).read(name)).rejects.toMatchObject({ reason: "NOT_FOUND" });
    expect((await promptsOn(store, [key("b", "b"), key("a", "a")]).read(name)).prompt).toBe("the prompt");
  });

  it("that cannot be kept harm nobody", async () => {
    const away = (): Promise<never> => Promise.reject(new Error("away"));
    const prompts = promptsOn({ put: away, get: away, list: away, close: async () => undefined });

    for (let n = 0; n < 500; n++) expect(prompts.keep(request, "x")).toBe("prompt:t1:chat_completions:42");
    await prompts.close();
    await expect(prompts.list()).rejects.toMatchObject({ reason: "ACTOR_STORE_UNAVAILABLE" });
  });
});
