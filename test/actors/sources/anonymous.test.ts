import { describe, expect, it } from "vitest";
import { createAnonymousSource } from "../../../src/actors/sources/anonymous.js";
import { describeSource } from "../../contract/source.js";

const { signal } = new AbortController();
const clock = { now: () => 1_700_000_000_000 };
const dayMs = 86_400_000;

describeSource("anonymous", async () => ({
  source: createAnonymousSource({ clock }, { burst: { percentage: 50, windowMs: 10_000 } }),
  known: undefined,
  foreign: ["", "a token", `slk_${"0".repeat(64)}`],
  unknown: ["a token"],
}));

describe("anonymous source", () => {
  it("grants the small daily amounts, with half of them as a burst", async () => {
    const source = createAnonymousSource({ clock }, { burst: { percentage: 50, windowMs: 10_000 } });

    const actor = (await source.lookup(undefined, signal))?.actor;

    expect(actor?.updatedAt).toEqual(new Date(clock.now()));
    expect(actor?.features.chat_completions?.limits).toEqual([
      { amount: 50, unit: "requests", windowMs: dayMs },
      { amount: 25, unit: "requests", windowMs: 10_000, burst: true },
    ]);
    expect(actor?.features.code_completions?.limits[0]).toEqual({ amount: 1_000, unit: "requests", windowMs: dayMs });
    expect(actor?.features.embeddings).toEqual({
      limits: [
        { amount: 100_000, unit: "tokens", windowMs: dayMs },
        { amount: 10, unit: "requests", windowMs: 10_000, burst: true },
      ],
      models: ["openai/text-embedding-ada-002"],
    });
  });

  it("never lets a burst window be smaller than 2", async () => {
    const source = createAnonymousSource({ clock }, { burst: { percentage: 1, windowMs: 10_000 } });

    const actor = (await source.lookup(undefined, signal))?.actor;

    expect(actor?.features.chat_completions?.limits[1]).toMatchObject({ amount: 2 });
  });
});
