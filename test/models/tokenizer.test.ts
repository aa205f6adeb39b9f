import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { afterAll, describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/models/tokenizer.js";
import { turnsDuring } from "../helpers/turns.js";

const tokenizer = createTokenizer();
afterAll(() => tokenizer.close());

const prose = "The gateway decides who may use which model how much, exactly, and passes the rest through. ";

describe("the tokenizer", () => {
  it.each([
    ["", 0],
    ["hello world", 2],
    ["Grüße, 世界 🙂", countTokens("Grüße, 世界 🙂")],
    ["<|endoftext|>", 7],
    [prose.repeat(30), countTokens(prose.repeat(30))],
  ])("counts %j", async (text, count) => {
    expect(await tokenizer.count(text)).toBe(count);
  });

  it("is right to a hundredth for long texts, in one piece or without a space", async () => {
    for (const text of [prose.repeat(3_000), prose.replaceAll(" ", "").repeat(300), "世界".repeat(5_000)]) {
      const exact = countTokens(text);
      expect(Math.abs((await tokenizer.count(text)) - exact) / exact).toBeLessThan(0.02);
    }
  });

  it("does not keep the process' other work waiting, whatever the text", async () => {
    const counting = async (): Promise<void> =>
      expect(await tokenizer.count("a".repeat(2_000_000))).toBeGreaterThan(100_000);

    expect(await turnsDuring(counting, 100)).toBeGreaterThan(100);
  });

  it("answers each who asks at the same time", async () => {
    const texts = Array.from({ length: 40 }, (_, index) => "word ".repeat(index));
    expect(await Promise.all(texts.map(tokenizer.count))).toEqual(texts.map((text) => countTokens(text)));
  });

  it("says that it is busy when too many wait, and counts again afterwards", async () => {
    const small = createTokenizer({ maxWaiting: 1 });
    const first = small.count("hello world");
    await expect(small.count("another")).rejects.toMatchObject({ reason: "OVERLOADED", retryAfterMs: 1_000 });
    expect(await first).toBe(2);
    expect(await small.count("hello world")).toBe(2);
    await small.close();
  });

  it("starts again after it was idle", async () => {
    const idle = createTokenizer({ idleMs: 1 });
    expect(await idle.count("hello world")).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await idle.count("hello world")).toBe(2);
    await idle.close();
  });

  it("counts by length what is still waiting when it closes, and what is asked later, however many", async () => {
    const closing = createTokenizer({ maxWaiting: 1 });
    const count = closing.count("x".repeat(400));
    await closing.close();
    expect(await count).toBe(100);
    expect(await Promise.all([closing.count("x".repeat(80)), closing.count(["x".repeat(40), "y"])])).toEqual([20, 11]);
  });
});
