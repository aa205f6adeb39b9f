import { describe, expect, it } from "vitest";
import { createEstimates, type EstimatedRequest } from "../../src/quota/estimates.js";
import type { Estimate } from "../../src/quota/quota.js";

function request(estimate: Partial<Estimate>, overrides: Partial<EstimatedRequest> = {}): EstimatedRequest {
  const given = { promptTokens: 100, maxOutputTokens: undefined, ...estimate };
  return { feature: "chat_completions", model: "anthropic/claude", estimate: () => given, ...overrides };
}

function learned(...tokens: number[]) {
  const estimates = createEstimates();
  for (const used of tokens) estimates.expect(request({})).learn({ tokens: used, microdollars: undefined });
  return estimates;
}

describe("expected tokens", () => {
  it.each<[string, number[], Partial<Estimate>, number]>([
    ["the cap, while nothing is known", [], { maxOutputTokens: 4_000 }, 4_100],
    ["as much again as the prompt, without a cap", [], {}, 200],
    ["the prompt, when there is no output", [], { maxOutputTokens: 0 }, 100],
    ["the output of the request before", [350], { maxOutputTokens: 4_000 }, 350],
    ["the mean of a few", [200, 300, 700], {}, 400],
    ["no more than the cap", [900], { maxOutputTokens: 50 }, 150],
    ["no output where others had none", [100, 90, 0], { maxOutputTokens: 10 }, 100],
    ["a prompt of another length, with the same output", [350], { promptTokens: 1_000 }, 1_250],
    ["whole units", [101, 102], {}, 102],
    ["at least 1", [], { promptTokens: 0, maxOutputTokens: 0 }, 1],
    ["at least 1 where the estimate is no number", [], { promptTokens: Number.NaN, maxOutputTokens: Number.NaN }, 1],
  ])("are %s", (_, used, estimate, expected) => {
    expect(learned(...used).expect(request(estimate)).tokens).toBe(expected);
  });

  it("follow a change within some tens of requests", () => {
    const long = Array<number>(100).fill(1_100);
    expect(learned(...long, ...Array<number>(30).fill(200)).expect(request({})).tokens).toBeLessThan(250);
    expect(learned(...long, 200).expect(request({})).tokens).toBe(1_010);
  });

  it("are learned for each model and feature, from known use", () => {
    const estimates = learned(350);
    estimates.expect(request({})).learn({ tokens: undefined, microdollars: undefined });
    estimates.expect(request({})).learn({ tokens: Number.NaN, microdollars: undefined });
    expect(estimates.expect(request({})).tokens).toBe(350);
    expect(estimates.expect(request({}, { model: "other" })).tokens).toBe(200);
    expect(estimates.expect(request({}, { feature: "embeddings" })).tokens).toBe(200);
  });

  it("are not learned from answers that broke off", () => {
    const estimates = learned(350);
    estimates.expect(request({})).learn({ tokens: 101, microdollars: undefined, partial: true });
    expect(estimates.expect(request({})).tokens).toBe(350);
    estimates.expect(request({})).learn({ tokens: 150, microdollars: undefined, partial: false });
    expect(estimates.expect(request({})).tokens).toBe(250);
  });

  it("are remembered of the models that were asked for last", () => {
    const estimates = createEstimates({ maxModels: 2 });
    const expected = (model: string) => estimates.expect(request({}, { model }));
    for (const model of ["a", "b", "a", "c"]) expected(model).learn({ tokens: 1_100, microdollars: undefined });
    expect([expected("a").tokens, expected("c").tokens, expected("b").tokens]).toEqual([1_100, 1_100, 200]);
  });
});

describe("expected cost", () => {
  it("is the price of the expected tokens", () => {
    const priced = request({}, { price: ({ inputTokens, outputTokens }) => inputTokens + 5 * outputTokens });
    expect(learned(150).expect(priced).microdollars).toBe(350);
  });

  it("is rounded up", () => {
    expect(learned().expect(request({}, { price: () => 0.2 })).microdollars).toBe(1);
    expect(learned().expect(request({}, { price: () => 7.1 })).microdollars).toBe(8);
  });

  it("is learned where no price is known", () => {
    const estimates = createEstimates();
    const unpriced = request({}, { price: () => undefined });
    expect(estimates.expect(unpriced).microdollars).toBe(1);
    for (const microdollars of [100, 300]) estimates.expect(unpriced).learn({ tokens: undefined, microdollars });
    expect(estimates.expect(unpriced).microdollars).toBe(200);
  });
});
