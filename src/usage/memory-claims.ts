import type { Clock } from "../lib/clock.js";
import type { AlertClaims } from "./alert.js";

/** Most keys that are remembered; those not claimed for the longest go first. */
const maxKept = 20_000;

interface Claimed {
  readonly threshold: number;
  readonly until: number;
}

/** Claims of one process, forgotten at its end. */
export function createMemoryClaims({ clock }: { readonly clock: Clock }): AlertClaims {
  const kept = new Map<string, Claimed>();
  return {
    async claim(key, threshold, until) {
      const known = kept.get(key);
      if (known && known.until > clock.now() && known.threshold >= threshold) return false;
      kept.delete(key);
      kept.set(key, { threshold, until: until.getTime() });
      if (kept.size > maxKept) kept.delete(kept.keys().next().value as string);
      return true;
    },
    close: async () => undefined,
  };
}
