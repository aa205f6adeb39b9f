import { describe, expect, it } from "vitest";
import { sliceInputs } from "../../src/upstream/slices.js";

const word = JSON.stringify("x".repeat(40)); // 42 bytes, 11 tokens by estimate, 22 at most

describe("sliceInputs", () => {
  it.each<[what: string, inputs: string[], limits: { inputs: number; tokens?: number }, sizes: number[]]>([
    ["what fits, as one", Array(5).fill(word), { inputs: 5 }, [5]],
    ["by number", Array(7).fill(word), { inputs: 3 }, [3, 3, 1]],
    ["by tokens", Array(5).fill(word), { inputs: 100, tokens: 50 }, [2, 2, 1]],
    ["by whichever comes first", Array(5).fill(word), { inputs: 1, tokens: 50 }, [1, 1, 1, 1, 1]],
    [
      "one that is too large, by itself",
      [word, JSON.stringify("y ".repeat(500)), word],
      { inputs: 9, tokens: 50 },
      [1, 1, 1],
    ],
    ["tokens, one by one", ["[1,2,3]", "[4,5]", "[6]"], { inputs: 9, tokens: 3 }, [1, 2]],
    ["short texts, whose bytes bound their tokens", Array(6).fill('"é"'), { inputs: 9, tokens: 12 }, [3, 3]],
  ])("cuts %s", (_what, inputs, limits, sizes) => {
    const slices = sliceInputs(inputs, limits);
    expect(slices.map(({ start, end }) => end - start)).toEqual(sizes);
    expect(slices.flatMap(({ start, end }) => inputs.slice(start, end))).toEqual(inputs);
  });
});
