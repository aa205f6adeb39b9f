// What is decided while the store is away.

import type { Feature } from "../actors/actor.js";
import type { Rule } from "./store.js";

/**
 * What happens to requests of a feature while the store is away: refused, or admitted up to so many units for each actor
 * and process. The units are those of the actor's first limit that applies.
 */
export type StoreFailure = "deny" | { readonly allow: number };

/** Counts what is admitted without the store. */
export interface BlindCounts {
  /** Gives back what was taken: the request used nothing, or is counted in the store now. Undefined: no more may be taken. */
  take(actor: string, feature: Feature, rules: readonly Rule[]): (() => void) | undefined;
}

export function createBlindCounts(policies: Readonly<Partial<Record<Feature, StoreFailure>>>): BlindCounts {
  const taken = new Map<string, number>();

  return {
    take(actor, feature, rules) {
      const policy = policies[feature] ?? "deny";
      if (policy === "deny") return undefined;
      const key = `${feature}:${actor}`;
      const units = unitsOf(rules);
      const sum = (taken.get(key) ?? 0) + units;
      if (sum > policy.allow) return undefined;
      taken.set(key, sum);
      return () => {
        const left = (taken.get(key) ?? 0) - units;
        if (left > 0) taken.set(key, left);
        else taken.delete(key);
      };
    },
  };
}

/** Units of the first limit; a request that is limited in flight only is 1. */
function unitsOf(rules: readonly Rule[]): number {
  const main = rules[0];
  return main?.kind === "window" ? main.amount : 1;
}
