import { describe, expect, it } from "vitest";
import { keptWindows, type TotalsStore, type UsageSample } from "../../src/usage/totals.js";

const dayMs = 86_400_000;
const now = Date.now();

export function sample(over: Partial<UsageSample> = {}): UsageSample {
  return {
    actor: "static/acme",
    feature: "chat_completions",
    model: "anthropic/claude",
    window: { openedAt: now, windowMs: dayMs, limit: 500 },
    requests: 1,
    inputTokens: 10,
    outputTokens: 20,
    microdollars: 5,
    ...over,
  };
}

/** What every store of totals must do. */
export function describeTotalsStore(name: string, make: () => Promise<TotalsStore>): void {
  describe(`${name} as a store of totals`, () => {
    it("adds up by actor, feature, window and model", async () => {
      const store = await make();

      await store.add([sample(), sample({ model: "openai/gpt" }), sample({ feature: "code_completions" })]);
      await store.add([sample({ requests: 2 }), sample({ actor: "static/other" })]);

      const [window, ...older] = await store.read("static/acme", "chat_completions");
      expect(older).toEqual([]);
      expect(window).toMatchObject({ openedAt: now, windowMs: dayMs, limit: 500 });
      expect([...(window?.models ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
        ["anthropic/claude", { requests: 3, inputTokens: 20, outputTokens: 40, microdollars: 10 }],
        ["openai/gpt", { requests: 1, inputTokens: 10, outputTokens: 20, microdollars: 5 }],
      ]);
    });

    it("keeps the last windows, newest first", async () => {
      const store = await make();
      for (let age = 0; age < keptWindows + 3; age++)
        await store.add([sample({ window: { openedAt: now - age * dayMs, windowMs: dayMs, limit: 500 } })]);

      const windows = await store.read("static/acme", "chat_completions");

      expect(windows.map(({ openedAt }) => (now - openedAt) / dayMs)).toEqual(
        Array.from({ length: keptWindows }, (_, age) => age),
      );
    });

    it("takes for one window what differs by the clocks of gateways", async () => {
      const store = await make();
      await store.add([sample(), sample({ window: { openedAt: now - 3_000, windowMs: dayMs, limit: 500 } })]);

      const windows = await store.read("static/acme", "chat_completions");

      expect(windows).toHaveLength(1);
      expect(windows[0]?.models.get("anthropic/claude")).toMatchObject({ requests: 2 });
    });

    it("takes names of any characters, and knows nothing of who was never added", async () => {
      const store = await make();
      const actor = "static/{a} : b\n*";

      await store.add([sample({ actor, model: "x/a b |{c}" })]);

      expect((await store.read(actor, "chat_completions"))[0]?.models.get("x/a b |{c}")).toMatchObject({ requests: 1 });
      expect(await store.read("static/{a}", "chat_completions")).toEqual([]);
    });
  });
}
