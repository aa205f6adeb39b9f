import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cellsOf, createPhraseFinder, maxCells } from "../../src/guard/phrases.js";

/** What the finder says of a text that comes in slices of this length. */
function find(phrases: readonly string[], text: string, length = text.length): number | undefined {
  const search = createPhraseFinder(phrases).search();
  for (let at = 0; at < text.length; at += length) {
    const found = search.next(text.slice(at, at + length));
    if (found !== undefined) return found;
  }
  return undefined;
}

describe("a finder of phrases", () => {
  it.each<[readonly string[], string, number | undefined]>([
    [["bomb"], "how to build a BOMB?", 0],
    [["Bomb", "poison"], "some pOiSoN", 1],
    [["bomb"], "bom b", undefined],
    [["abcd", "bc"], "xabcx", 1],
    [["she", "he", "hers"], "ushers", 0],
    [["aab"], "aaaaaab", 0],
    [["ß"], "STRAẞE", 0],
    [["ΛΟΓΟΣ"], "λογοςλογοσ", 0],
    [["🙂 hi"], "oh 🙂 HI", 0],
    [["constructor", "__proto__"], "x.__proto__", 1],
  ])("of %j in %j is %j", (phrases, text, expected) => {
    expect(find(phrases, text)).toBe(expected);
    expect(find(phrases, text, 1) === undefined).toBe(expected === undefined);
  });

  it("finds what `includes` finds, however the text is sliced", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 6 });
    const texts = fc.string({ unit: fc.constantFrom("a", "b", "c", "d"), maxLength: 60 });
    fc.assert(
      fc.property(
        fc.array(letters, { minLength: 1, maxLength: 5 }),
        texts,
        fc.integer({ min: 1, max: 9 }),
        (phrases, text, length) => {
          const found = find(phrases, text, length);
          expect(found !== undefined).toBe(phrases.some((phrase) => text.includes(phrase)));
          if (found !== undefined) expect(text).toContain(phrases[found]);
        },
      ),
    );
  });

  it("has a table whose size is known beforehand", () => {
    expect(cellsOf(["ab", "A"])).toBe(4 * 3);
    expect(cellsOf(Array.from({ length: 1_000 }, (_, index) => `phrase number ${index}`))).toBeLessThan(maxCells);
  });
});
