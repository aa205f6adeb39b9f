import type { Clock } from "../lib/clock.js";
import type { AlertClaims } from "./alert.js";

/** Most keys that are remembered; those not claimed for the longest go first. */
const maxKept = 20_000;

interface Kept {
  /** The highest threshold that was told of; 0: none was. */
  readonly told: number;
  /** The one that somebody tells of, as long as that is awaited. */
  readonly claimed: number;
  readonly claimedUntil: number;
  readonly until: number;
}

/** Claims of one process, forgotten at its end. */
export function createMemoryClaims({ clock }: { readonly clock: Clock }): AlertClaims {
  const kept = new Map<string, Kept>();

  function find(key: string): Kept | undefined {
    const known = kept.get(key);
    return known && known.until > clock.now() ? known : undefined;
  }

  function keep(key: string, changed: Kept): void {
    kept.delete(key);
    kept.set(key, changed);
    if (kept.size > maxKept) kept.delete(kept.keys().next().value as string);
  }

  return {
    async claim({ key, threshold, until }, leaseMs) {
      const now = clock.now();
      const known = find(key);
      if (known && known.told >= threshold) return "told";
      if (known && known.claimed >= threshold && known.claimedUntil > now)
        return { askAgainAt: new Date(known.claimedUntil) };
      const claimedUntil = now + leaseMs;
      keep(key, { told: known?.told ?? 0, claimed: threshold, claimedUntil, until: until.getTime() });
      return "yours";
    },
    async told({ key, threshold, until }) {
      const { told = 0, claimed = 0, claimedUntil = 0 } = find(key) ?? {};
      keep(key, { told: Math.max(told, threshold), claimed, claimedUntil, until: until.getTime() });
    },
    async release({ key, threshold }, pauseMs) {
      const known = find(key);
      if (known?.claimed === threshold) keep(key, { ...known, claimedUntil: clock.now() + pauseMs });
    },
    close: async () => undefined,
  };
}
