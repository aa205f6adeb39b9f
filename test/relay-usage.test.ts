// Tokens that an upstream did not report: what is counted, and what happens when the tokenizer does not answer.

import { describe, expect, it } from "vitest";
import type { Output } from "../src/providers/output.js";
import type { Api, CountedUsage } from "../src/providers/provider.js";
import type { Plan } from "../src/relay-plan.js";
import { amounts, withUsage } from "../src/relay-usage.js";
import type { Exchange } from "../src/upstream/upstream.js";

const prompt = "How are you?";
const answer = "Fine, thank you.";

function planOf(over: Partial<Plan> = {}, readPrompt: Api["prompt"] = () => prompt): Plan {
  const prices = { inputPerMillion: 10, outputPerMillion: 100 };
  const api = { prompt: readPrompt } as unknown as Api;
  const upstream = { api, body: Buffer.from('{"prompt":"How are you?"}') };
  return { quota: {}, upstream, route: { prices }, ...over } as unknown as Plan;
}

function outputOf(text: string, times = 1): Output {
  return { event() {}, whole() {}, said: () => ({ text, times }) };
}

function ended(usage: CountedUsage, output: Output | undefined, over: object = {}): Exchange {
  const times = { upstreamMs: 1, firstByteMs: 1 };
  return { kind: "answered", streamError: false, status: 200, usage, output, ...times, ...over };
}

/** Has as many tokens for a text as it has characters. */
const tokenizer = { count: (text: string | readonly string[]) => Promise.resolve(text.length) };
const never = {
  count: () => {
    throw new Error("counted what needs no counting");
  },
};

describe("tokens that nobody reports", () => {
  it("are counted of what was sent and what was said", async () => {
    const { usage } = await withUsage(tokenizer, planOf(), ended({}, outputOf(answer)));
    expect(usage).toEqual({ inputTokens: prompt.length, outputTokens: answer.length, estimated: true });
  });

  it("leave what was reported as it is", async () => {
    const told = { inputTokens: 7, cachedInputTokens: 3 };
    const { usage } = await withUsage(tokenizer, planOf(), ended(told, outputOf(answer)));
    expect(usage).toEqual({ ...told, outputTokens: answer.length, estimated: true });
    const output = await withUsage(tokenizer, planOf(), ended({ outputTokens: 5 }, undefined));
    expect(output.usage).toEqual({ inputTokens: prompt.length, outputTokens: 5, estimated: true });
  });

  it.each<[string, Exchange, Partial<Plan>]>([
    ["all was reported", ended({ inputTokens: 0, outputTokens: 0 }, outputOf(answer)), {}],
    ["the answer is no text", ended({ inputTokens: 7 }, undefined), {}],
    ["it costs nothing", ended({}, outputOf(answer)), { quota: undefined }],
  ])("are not counted where %s", (_why, exchange, over) => {
    expect(withUsage(never, planOf(over), exchange)).toBe(exchange);
  });

  it("are none where nothing was said", async () => {
    const { usage } = await withUsage(tokenizer, planOf(), ended({ inputTokens: 7 }, outputOf("")));
    expect(usage).toEqual({ inputTokens: 7, outputTokens: 0, estimated: true });
  });

  it("are as many for its length in what was not kept, and in what is too long to be counted", async () => {
    const said = await withUsage(tokenizer, planOf(), ended({ inputTokens: 7 }, outputOf(answer, 2.5)));
    expect(said.usage.outputTokens).toBe(answer.length * 2.5);
    const counted: number[] = [];
    const counting = {
      count(text: string | readonly string[]) {
        counted.push(text.length);
        return Promise.resolve(text.length / 2);
      },
    };
    const long = planOf({}, () => "x".repeat(1_000_000));
    const asked = await withUsage(counting, long, ended({ outputTokens: 1 }, undefined));
    expect(asked.usage.inputTokens).toBe(500_000);
    expect(counted).toEqual([131_072]);
  });

  it.each([
    ["is busy", () => Promise.reject(new Error("too many texts wait to be counted"))],
    ["does not answer", () => new Promise<number>(() => {})],
  ])("are counted by length when the tokenizer %s", async (_what, count) => {
    const { usage } = await withUsage({ count }, planOf(), ended({}, outputOf("x".repeat(400))));
    expect(usage).toEqual({ inputTokens: prompt.length / 4, outputTokens: 100, estimated: true });
  });

  it("are those of the body where its prompt cannot be read", async () => {
    const unreadable = planOf({}, () => {
      throw new Error("what prompt?");
    });
    const { usage } = await withUsage(tokenizer, unreadable, ended({}, outputOf(answer)));
    expect(usage.inputTokens).toBe(unreadable.upstream.body.length);
  });
});

describe("what is charged", () => {
  const usage = { inputTokens: 10, outputTokens: 5, estimated: true } as const;

  it("is what was counted, at its price", () => {
    expect(amounts(planOf(), ended(usage, undefined))).toEqual({ tokens: 15, microdollars: 600, partial: false });
  });

  it("is unknown where a count is", () => {
    const { tokens, microdollars } = amounts(planOf(), ended({ inputTokens: 10 }, undefined));
    expect([tokens, microdollars]).toEqual([undefined, undefined]);
  });

  it.each<[string, object]>([
    ["left by its caller", { kind: "gone", started: true }],
    ["broken off", { kind: "failed", started: true }],
    ["ended with an error", { streamError: true }],
  ])("teaches nothing of an answer that was %s", (_what, over) => {
    expect(amounts(planOf(), ended(usage, undefined, over)).partial).toBe(true);
  });
});
