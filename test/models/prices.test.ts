import { describe, expect, it } from "vitest";
import { microdollars } from "../../src/models/prices.js";
import { estimateTokens } from "../../src/models/tokens.js";

describe("microdollars", () => {
  const prices = { inputPerMillion: 3, outputPerMillion: 15, cachedInputPerMillion: 0.3, cacheWritePerMillion: 3.75 };

  it.each([
    [{}, 0],
    [{ inputTokens: 0, outputTokens: 0 }, 0],
    [{ inputTokens: 1000, outputTokens: 100 }, 4500],
    [{ inputTokens: 1000, cachedInputTokens: 1000 }, 300],
    [{ inputTokens: 1000, cachedInputTokens: 600, cacheWriteTokens: 300, outputTokens: 1 }, 300 + 180 + 1125 + 15],
    [{ cachedInputTokens: 100 }, 30],
    [{ cachedInputTokens: 1 }, 1],
    [{ cachedInputTokens: 11 }, 4],
    [{ outputTokens: 2_000_000_000 }, 30_000_000_000],
  ])("%j costs %i", (used, cost) => {
    expect(microdollars(used, prices)).toBe(cost);
  });

  it("rounds up what is a part of a microdollar, and not what is one but for the arithmetic", () => {
    expect(microdollars({ inputTokens: 100 }, { inputPerMillion: 0.07, outputPerMillion: 0 })).toBe(7);
    expect(microdollars({ inputTokens: 101 }, { inputPerMillion: 0.07, outputPerMillion: 0 })).toBe(8);
  });

  it("takes cached input for any other where it has no price of its own", () => {
    const plain = { inputPerMillion: 2, outputPerMillion: 0, cachedInputPerMillion: undefined };
    expect(microdollars({ inputTokens: 10, cachedInputTokens: 5, cacheWriteTokens: 5 }, plain)).toBe(20);
  });
});

describe("estimateTokens", () => {
  it.each([
    ["", 0],
    ["a", 1],
    ["Hello, world", 3],
    ["x".repeat(4000), 1000],
    ["世界".repeat(100), 200],
    ["é".repeat(8), 5],
    ["👋", 2],
  ])("%j", (text, tokens) => {
    expect(estimateTokens(text)).toBe(tokens);
  });
});
