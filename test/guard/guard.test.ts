import { afterEach, describe, expect, it } from "vitest";
import { UnavailableError } from "../../src/errors.js";
import { expressionProblem } from "../../src/guard/expressions.js";
import { createGuard, type Guard, type GuardParts, type Subject } from "../../src/guard/guard.js";
import type { GuardRules, Pattern } from "../../src/guard/rules.js";
import type { Verdict } from "../../src/guard/verdict.js";
import { turnsDuring } from "../helpers/turns.js";

const nothing: GuardRules = {
  promptTokens: { flag: undefined, block: undefined },
  outputTokens: { flag: undefined, block: undefined },
  models: { flag: [], block: [] },
  allowed: [],
  blocked: [],
  blocking: true,
};

let guard: Guard | undefined;
afterEach(async () => {
  await guard?.close();
  guard = undefined;
});

/** Counts words. */
const countTokens: GuardParts["countTokens"] = async (text) => text.split(" ").length;

function guardOf(rules: Partial<GuardRules>, count = countTokens): Guard | undefined {
  guard = createGuard({ countTokens: count }, { common: { ...nothing, ...rules }, upstreams: new Map() });
  return guard;
}

async function verdictOf(
  rules: Partial<GuardRules>,
  subject: Partial<Omit<Subject, "prompt">> & { readonly prompt?: string },
  count = countTokens,
): Promise<Verdict | undefined> {
  const { models = ["gpt-4o"], maxOutputTokens, numbered = false, prompt = "hello" } = subject;
  return guardOf(rules, count)?.checkOf("openai")?.({ models, maxOutputTokens, numbered, prompt: () => prompt });
}

const regexp = (text: string): Pattern => ({ regexp: text });
const phrase = (text: string): Pattern => ({ phrase: text });

describe("a guard", () => {
  it("is not there where nothing is looked for, and checks only upstreams that have rules", () => {
    expect(guardOf({})).toBeUndefined();
    const rules = { ...nothing, blocked: [phrase("x")] };
    guard = createGuard({ countTokens }, { common: rules, upstreams: new Map([["free", nothing]]) });

    expect(guard?.checkOf("free")).toBeUndefined();
    expect(guard?.checkOf("openai")).toBeDefined();
  });

  it.each<[string, Partial<GuardRules>, Parameters<typeof verdictOf>[1], Partial<Verdict> | undefined]>([
    [
      "a phrase",
      { blocked: [phrase("Bad words")] },
      { prompt: "some BAD WORDS" },
      { reasons: ["blocked_phrase"], blocked: true, blockedPhrase: "Bad w" },
    ],
    ["another phrase", { blocked: [phrase("bad words")] }, { prompt: "bad" }, undefined],
    [
      "an expression",
      { blocked: [regexp("ba+d\\s+words")] },
      { prompt: "BAAAD\nwords" },
      { reasons: ["blocked_phrase"], blockedPhrase: "ba+d\\" },
    ],
    [
      "no known phrase",
      { allowed: [phrase("you are cody")] },
      { prompt: "hi" },
      { reasons: ["unknown_prompt"], blocked: false },
    ],
    ["a known phrase", { allowed: [phrase("you are cody"), regexp("x{3}")] }, { prompt: "You are Cody" }, undefined],
    ["a known expression", { allowed: [phrase("nope"), regexp("x{3}")] }, { prompt: "hi xxx" }, undefined],
    ["a model", { models: { flag: ["gpt-*"], block: [] } }, {}, { reasons: ["model_used"], blocked: false }],
    [
      "a model by the name that was asked for",
      { models: { flag: [], block: ["fast"] } },
      { models: ["fast", "gpt-4o"] },
      { reasons: ["blocked_model"], blocked: true },
    ],
    [
      "too many output tokens",
      { outputTokens: { flag: 10, block: 20 } },
      { maxOutputTokens: 21 },
      { reasons: ["high_max_tokens_to_sample", "blocked_max_tokens_to_sample"], blocked: true, maxOutputTokens: 21 },
    ],
    [
      "some output tokens",
      { outputTokens: { flag: 10, block: 20 } },
      { maxOutputTokens: 20 },
      { reasons: ["high_max_tokens_to_sample"], blocked: false },
    ],
    ["as many as may be", { outputTokens: { flag: 10, block: 10 } }, { maxOutputTokens: 10 }, undefined],
    ["no number of output tokens", { outputTokens: { flag: 10, block: 10 } }, {}, undefined],
    [
      "too many tokens",
      { promptTokens: { flag: 2, block: 3 } },
      { prompt: "a b c d" },
      { reasons: ["high_prompt_token_count", "blocked_prompt_token_count"], blocked: true, promptTokens: 4 },
    ],
    ["as many tokens as may be", { promptTokens: { flag: 2, block: 3 } }, { prompt: "aaaa bbbb" }, undefined],
    [
      "what is only flagged",
      { blocked: [phrase("bad")], blocking: false },
      { prompt: "bad" },
      { reasons: ["blocked_phrase"], blocked: false },
    ],
  ])("finds %s", async (_, rules, subject, expected) => {
    const verdict = await verdictOf(rules, subject);

    if (expected === undefined) expect(verdict).toBeUndefined();
    else expect(verdict).toMatchObject(expected);
  });

  it("counts no tokens where there cannot be too many, and no further than it must", async () => {
    const counted: number[] = [];
    const count = async (_: string, enough: number): Promise<number> => {
      counted.push(enough);
      return 7;
    };
    const rules = { promptTokens: { flag: 5, block: 8 } };

    expect(await verdictOf(rules, { prompt: "12345" }, count)).toBeUndefined();
    expect(counted).toEqual([]);
    expect(await verdictOf(rules, { prompt: "123456" }, count)).toMatchObject({ promptTokens: 7 });
    expect(counted).toEqual([8]);
  });

  it("lets nobody pass whom it may have to block while it cannot look, and everybody whom it would only flag", async () => {
    const busy = (): Promise<number> => Promise.reject(new UnavailableError("OVERLOADED", "busy", 1_000));
    const rules = { promptTokens: { flag: 1, block: 2 } };

    await expect(verdictOf(rules, {}, busy)).rejects.toMatchObject({ reason: "OVERLOADED" });
    expect(await verdictOf({ ...rules, blocking: false }, {}, busy)).toBeUndefined();
  });

  it.each([
    ["phrases", [phrase("zzz"), phrase(`${"a".repeat(500)}b`)]],
    [
      "expressions that take others for ever",
      ["^(a+)+$", "(a|aa)+b$", "(.*a){20}$", "(x+x+)+y", "(a|b|ab)*c"].map(regexp),
    ],
  ])("leaves the event loop to others while it looks for %s in a megabyte", async (_, blocked) => {
    const check = guardOf({ blocked })?.checkOf("openai");
    // The first one starts the thread.
    await check?.({ models: [], maxOutputTokens: undefined, numbered: false, prompt: () => "warm" });
    const prompt = `${"a".repeat(1_000_000)}!`;
    const checking = async (): Promise<void> => {
      const verdict = await check?.({ models: [], maxOutputTokens: undefined, numbered: false, prompt: () => prompt });
      expect(verdict).toBeUndefined();
    };

    expect(await turnsDuring(checking, 10)).toBeGreaterThan(10);
  });

  it("finds a phrase wherever it stands in a long text, also where that is cut", async () => {
    for (const before of [0, 65_530, 65_534, 131_071, 300_000]) {
      const prompt = `${"x".repeat(before)}needle${"x".repeat(10)}`;
      expect(await verdictOf({ blocked: [phrase("needle")] }, { prompt })).toMatchObject({ blocked: true });
      await guard?.close();
    }
  });
});

describe("expressions", () => {
  it.each([
    ["a+b", undefined],
    ["(a", "missing closing"],
    ["(?=a)", "expected a regular expression in RE2's syntax"],
    ["\\1", "expected a regular expression in RE2's syntax"],
    ["(abc){333}(def){333}g{900}", "a smaller regular expression"],
  ])("%j: %s", (text, problem) => {
    if (problem === undefined) expect(expressionProblem(text)).toBeUndefined();
    else expect(expressionProblem(text)).toContain(problem);
  });
});
