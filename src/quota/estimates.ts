// What a request will use, guessed before it is sent.

import type { Amounts, LimitState, QuotaRequest } from "./quota.js";

/** What guesses are made from. */
export type EstimatedRequest = Pick<QuotaRequest, "feature" | "model" | "estimate" | "price">;

/** What one request is expected to use, in whole units, at least 1 of each. */
export interface Expectation {
  readonly tokens: number;
  readonly microdollars: number;
  /** Tells what it did use, so that the next ones are guessed better. */
  learn(used: Amounts): void;
}

/** What one request asks of each limit, guessed only when a limit in tokens or money asks for it. */
export interface Demand {
  amountOf(unit: LimitState["unit"]): number;
  /** Absent when nothing had to be guessed. */
  readonly expectation: Expectation | undefined;
}

export function createDemand(estimates: Estimates, request: EstimatedRequest): Demand {
  // Plain members, not accessors: those of an object literal cost as much as all the rest of it.
  const demand: { -readonly [K in keyof Demand]: Demand[K] } = {
    expectation: undefined,
    amountOf(unit) {
      if (unit !== "tokens" && unit !== "microdollars") return 1;
      return (demand.expectation ??= estimates.expect(request))[unit];
    },
  };
  return demand;
}

/** Guesses from the prompt, the request's cap and what earlier requests of the same feature and model used. */
export interface Estimates {
  expect(request: EstimatedRequest): Expectation;
}

/** What requests of one feature and model use, on average. */
interface Learned {
  readonly output: Average;
  readonly cost: Average;
}

interface Average {
  /** Undefined before the first sample. */
  readonly value: number | undefined;
  add(sample: number): void;
}

/**
 * The output is expected to be what it was on average of late, and the cap as long as nothing is known; without a cap, as
 * long as the prompt. Money follows from the price of those tokens, or from what earlier requests cost.
 */
export function createEstimates({ maxModels = 1_000 } = {}): Estimates {
  const byModel = new Map<string, Learned>();
  let lastKey: string | undefined;

  function learnedOf({ feature, model }: EstimatedRequest): Learned {
    const key = `${feature} ${model}`;
    const learned = byModel.get(key) ?? { output: createAverage(), cost: createAverage() };
    if (key === lastKey) return learned;
    // Put last, so that the first is the one that was not asked for the longest.
    lastKey = key;
    byModel.delete(key);
    byModel.set(key, learned);
    if (byModel.size > maxModels) byModel.delete(byModel.keys().next().value as string);
    return learned;
  }

  return {
    expect(request) {
      const learned = learnedOf(request);
      const estimate = request.estimate();
      const inputTokens = count(estimate.promptTokens) ?? 0;
      const cap = count(estimate.maxOutputTokens);
      const outputTokens = Math.min(learned.output.value ?? cap ?? inputTokens, cap ?? Infinity);
      const cost = request.price?.({ inputTokens, outputTokens }) ?? learned.cost.value;
      return {
        tokens: atLeastOne(inputTokens + outputTokens),
        microdollars: atLeastOne(cost),
        learn({ tokens, microdollars, partial = false }) {
          if (partial) return;
          if (count(tokens) !== undefined) learned.output.add(Math.max(0, (tokens as number) - inputTokens));
          if (count(microdollars) !== undefined) learned.cost.add(microdollars as number);
        },
      };
    },
  };
}

/** The mean of the first ten samples; from then on each new one weighs a tenth. */
function createAverage(): Average {
  let samples = 0;
  const average: { -readonly [K in keyof Average]: Average[K] } = {
    value: undefined,
    add(sample) {
      samples = Math.min(samples + 1, 10);
      const { value = 0 } = average;
      average.value = value + (sample - value) / samples;
    },
  };
  return average;
}

/** A number of units, or undefined when it is none. */
export function count(value: number | undefined): number | undefined {
  return value !== undefined && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? Math.round(value) : undefined;
}

function atLeastOne(expected: number | undefined): number {
  return Math.max(1, count(expected === undefined ? undefined : Math.ceil(expected)) ?? 1);
}
