// Model names with a rule of their own: what they stand for and what they cost.

import { compileGlobs } from "../lib/glob.js";
import { foldName, isPattern } from "./names.js";
import type { Prices } from "./prices.js";

/** A model name with a rule of its own. */
export interface ModelRule {
  /** Gateway model name. Without routes, it may be a pattern (`anthropic/claude-opus-*`): then it is a rule for all of them. */
  readonly id: string;
  /** The models it stands for; empty: it is a model itself. */
  readonly routes: readonly RuleRoute[];
  readonly prices: Prices | undefined;
  /** Gateway names of models that can take over when it fails, in order. Like prices, they can be those of a pattern. */
  readonly fallbacks?: readonly string[];
  /**
   * True for rules that come with the gateway: they hold as far as the upstream's allow list has the name or what it stands
   * for. Those that an operator writes hold by themselves.
   */
  readonly builtIn?: true;
}

/** One of the models that a name stands for. */
export interface RuleRoute {
  /** Its gateway name. */
  readonly model: string;
  /** Its share among the routes for the same language. */
  readonly weight: number;
  /** Language ids of prompts that it is for; undefined: those that no other route is for. */
  readonly languages?: readonly string[] | undefined;
}

/** Prices by gateway name: an exact name's before a pattern's, the first pattern's before others. */
export function createPriceList(rules: readonly ModelRule[]): (name: string) => Prices | undefined {
  return createRuleList(rules, ({ prices }) => prices);
}

/** Fallbacks by gateway name, in the same way; undefined where no rule has any. `find` leaves out what does not exist. */
export function createFallbackList<T>(
  rules: readonly ModelRule[],
  find: (name: string) => T | undefined,
): ((name: string) => readonly T[] | undefined) | undefined {
  if (!rules.some(({ fallbacks = [] }) => fallbacks.length > 0)) return undefined;
  return createRuleList(rules, ({ fallbacks = [] }) => {
    const found = fallbacks.flatMap((name) => find(name) ?? []);
    return found.length > 0 ? found : undefined;
  });
}

function createRuleList<T>(
  rules: readonly ModelRule[],
  read: (rule: ModelRule) => T | undefined,
): (name: string) => T | undefined {
  const said = rules.flatMap((rule) => {
    const value = read(rule);
    return value === undefined ? [] : [{ id: rule.id, value }];
  });
  const exact = new Map(said.filter(({ id }) => !isPattern(id)).map(({ id, value }) => [foldName(id), value]));
  const patterns = said
    .filter(({ id }) => isPattern(id))
    .map(({ id, value }) => ({ matches: compileGlobs([id]), value }));
  return (name) => exact.get(foldName(name)) ?? patterns.find(({ matches }) => matches(name))?.value;
}

/** A name that stands for others. */
export interface Virtual<T> {
  readonly id: string;
  readonly builtIn: boolean;
  readonly targets: readonly Target<T>[];
}

/** One of the models that it stands for. */
export interface Target<T> {
  readonly to: T;
  readonly weight: number;
  readonly languages: ReadonlySet<string> | undefined;
}

/** The virtual models by folded name; of two rules for one name the later. What `find` does not find is left out. */
export function createVirtuals<T>(
  rules: readonly ModelRule[],
  find: (name: string, prices: Prices | undefined) => T | undefined,
): ReadonlyMap<string, Virtual<T>> {
  return new Map(
    rules
      .filter(({ routes }) => routes.length > 0)
      .map(({ id, routes, prices, builtIn = false }) => {
        const targets = routes.flatMap(({ model, weight, languages }): Target<T>[] => {
          const to = find(model, prices);
          return to === undefined || weight <= 0 ? [] : [{ to, weight, languages: languages && new Set(languages) }];
        });
        return [foldName(id), { id, builtIn, targets }];
      }),
  );
}

/** The targets for prompts in this language. */
export function forLanguage<T>(targets: Virtual<T>["targets"], languageId: string | undefined): Virtual<T>["targets"] {
  const own = languageId ? targets.filter(({ languages }) => languages?.has(languageId.toLowerCase())) : [];
  return own.length > 0 ? own : targets.filter(({ languages }) => languages === undefined);
}

/** One of the targets, each as often as its weight says; `random` is from 0 up to, not including, 1. */
export function chooseByWeight<T>(targets: Virtual<T>["targets"], random: () => number): T | undefined {
  if (targets.length < 2) return targets[0]?.to;
  let rest = random() * targets.reduce((sum, { weight }) => sum + weight, 0);
  for (const { to, weight } of targets) {
    rest -= weight;
    if (rest < 0) return to;
  }
  return targets.at(-1)?.to;
}
