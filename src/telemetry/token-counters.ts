import { createTupleMap } from "../lib/tuple-map.js";
import { names } from "./names.js";
import { type Counter, createCounter } from "./series.js";

/** Tokens as an upstream reported them. */
export interface ObservedUsage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cachedInputTokens?: number;
  readonly cacheWriteTokens?: number;
  readonly reasoningTokens?: number;
}

/** Most model names told apart: callers can make up names that a pattern allows. */
const maxModels = 200;

/** Usage field → `kind` of the metric. */
const tokenKinds = {
  inputTokens: "input",
  outputTokens: "output",
  cachedInputTokens: "cached_input",
  cacheWriteTokens: "cache_write",
  reasoningTokens: "reasoning",
} as const satisfies Record<keyof ObservedUsage, string>;

const usageFields = Object.keys(tokenKinds) as (keyof ObservedUsage)[];

/** Counts tokens by provider, model and kind. */
export function createTokenCounters() {
  const series = createCounter(names.tokens);
  const models = createTupleMap<Readonly<Record<keyof ObservedUsage, Counter>>>();
  const countersOf = (provider: string, model: string): Readonly<Record<keyof ObservedUsage, Counter>> => {
    const key = [provider, model];
    const found = models.get(key);
    if (found) return found;
    if (models.size() >= maxModels && model !== "other") return countersOf(provider, "other");
    const made = Object.fromEntries(usageFields.map((field) => [field, series.at(provider, model, tokenKinds[field])]));
    models.set(key, made as Record<keyof ObservedUsage, Counter>);
    return made as Record<keyof ObservedUsage, Counter>;
  };
  return {
    text: () => series.text(),
    add(provider: string, model: string | undefined, usage: ObservedUsage): void {
      // Only names of which an upstream reported something: others may be made up.
      if (usage.inputTokens === undefined && usage.outputTokens === undefined) return;
      const counters = countersOf(provider, model === undefined || model.length > 128 ? "other" : model);
      for (const field of usageFields) {
        const amount = usage[field];
        if (amount !== undefined && amount > 0) counters[field].add(amount);
      }
    },
  };
}
