// Model names with a rule of their own: what they stand for and what they cost.

import { compileGlobs } from "../lib/glob.js";
import { foldName, isPattern } from "./names.js";
import type { Prices } from "./prices.js";

/** A model name with a rule of its own. */
export interface ModelRule {
  /** Gateway model name. Without routes, it may be a pattern (`anthropic/claude-opus-*`): then it is a rule for prices. */
  readonly id: string;
  /** Gateway names of the models it stands for, by weight; empty: it is a model itself. */
  readonly routes: readonly { readonly model: string; readonly weight: number }[];
  readonly prices: Prices | undefined;
}

/** Prices by gateway name: an exact name's before a pattern's, the first pattern's before others. */
export function createPriceList(rules: readonly ModelRule[]): (name: string) => Prices | undefined {
  const priced = rules.flatMap(({ id, prices }) => (prices ? [{ id, prices }] : []));
  const exact = new Map(priced.filter(({ id }) => !isPattern(id)).map(({ id, prices }) => [foldName(id), prices]));
  const patterns = priced
    .filter(({ id }) => isPattern(id))
    .map(({ id, prices }) => ({ matches: compileGlobs([id]), prices }));
  return (name) => exact.get(foldName(name)) ?? patterns.find(({ matches }) => matches(name))?.prices;
}

/** A name that stands for others. */
export interface Virtual<T> {
  readonly id: string;
  readonly targets: readonly { readonly to: T; readonly weight: number }[];
}

/** The virtual models by folded name. What `find` does not find is left out. */
export function createVirtuals<T>(
  rules: readonly ModelRule[],
  find: (name: string, prices: Prices | undefined) => T | undefined,
): ReadonlyMap<string, Virtual<T>> {
  return new Map(
    rules
      .filter(({ routes }) => routes.length > 0)
      .map(({ id, routes, prices }) => {
        const targets = routes.flatMap(({ model, weight }) => {
          const to = find(model, prices);
          return to === undefined ? [] : [{ to, weight }];
        });
        return [foldName(id), { id, targets }];
      }),
  );
}

/** One of the targets, each as often as its weight says; `random` is from 0 up to, not including, 1. */
export function chooseByWeight<T>(targets: Virtual<T>["targets"], random: () => number): T | undefined {
  let rest = random() * targets.reduce((sum, { weight }) => sum + weight, 0);
  for (const { to, weight } of targets) {
    rest -= weight;
    if (rest < 0) return to;
  }
  return targets.at(-1)?.to;
}
