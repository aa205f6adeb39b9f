import { assert, constantFrom, property, string } from "fast-check";
import { describe, expect, it } from "vitest";
import { compileGlobs, matchesGlob } from "../../src/lib/glob.js";
import { cpuMs } from "../helpers/timed.js";

const text = (...alphabet: string[]) => string({ unit: constantFrom(...alphabet), maxLength: 8 });

describe("matchesGlob", () => {
  it.each([
    ["claude-3", "claude-3", true],
    ["claude-3", "claude-35", false],
    ["Claude-3", "CLAUDE-3", true],
    ["*", "", true],
    ["*", "anthropic/claude", true],
    ["", "", true],
    ["", "a", false],
    ["?", "", false],
    ["?", "a", true],
    ["?", "ab", false],
    ["anthropic/*", "anthropic/", true],
    ["anthropic/*", "anthropic/claude", true],
    ["anthropic/*", "xanthropic/claude", false],
    ["*-latest", "claude-latest", true],
    ["*-latest", "claude-latest-2", false],
    ["a*a", "a", false],
    ["a*a", "aa", true],
    ["*ab*ab*", "ab", false],
    ["*ab*ab*", "xabyabz", true],
    ["*ab*ab", "abab", true],
    ["*a?c*d", "abc-axcd", true],
    ["a**b", "ab", true],
    ["a.c", "abc", false],
    ["[a]", "a", false],
    ["[a]", "[a]", true],
    ["(x)+$", "(x)+$", true],
  ])("%j on %j is %j", (pattern, name, expected) => {
    expect(matchesGlob(pattern, name)).toBe(expected);
  });

  it("agrees with the same pattern as a regular expression", () => {
    assert(
      property(text("a", "b", "A", "*", "?"), text("a", "b", "A"), (pattern, name) => {
        const source = pattern.replaceAll("*", "[^]*").replaceAll("?", "[^]");
        expect(matchesGlob(pattern, name)).toBe(new RegExp(`^${source}$`, "i").test(name));
      }),
      { numRuns: 2_000 },
    );
  });

  it("stays fast on names made to be slow", () => {
    const took = cpuMs(() => expect(matchesGlob(`${"*a".repeat(50)}b`, "a".repeat(100_000))).toBe(false));
    expect(took).toBeLessThan(500);
  });
});

describe("compileGlobs", () => {
  it("matches what any of the patterns matches", () => {
    const matches = compileGlobs(["claude-*", "gpt-4o"]);
    expect(["claude-3", "GPT-4o", "gpt-4o-mini"].map(matches)).toEqual([true, true, false]);
  });

  it("matches nothing without patterns", () => {
    expect(compileGlobs([])("")).toBe(false);
  });
});
