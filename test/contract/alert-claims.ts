import { beforeEach, describe, expect, it } from "vitest";
import type { AlertClaims } from "../../src/usage/alert.js";

/** What every store of claims must do. `after` lets so much time pass. */
export function describeAlertClaims(
  name: string,
  make: () => Promise<{
    readonly claims: AlertClaims;
    readonly after: (ms: number) => Promise<void>;
    readonly now: () => number;
  }>,
): void {
  describe(`${name} as a store of claims`, () => {
    let claims: AlertClaims;
    let after: (ms: number) => Promise<void>;
    let now: () => number;
    beforeEach(async () => ({ claims, after, now } = await make()));

    const soon = (): Date => new Date(now() + 60_000);

    it("says yes once for each threshold, and to higher ones only", async () => {
      const answers: boolean[] = [];
      for (const threshold of [90, 90, 95, 90, 95, 100, 99.5]) answers.push(await claims.claim("a", threshold, soon()));

      expect(answers).toEqual([true, false, true, false, false, true, false]);
      expect(await claims.claim("b", 90, soon())).toBe(true);
    });

    it("says yes to one of many who ask at once", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => claims.claim("a", 90, soon())));

      expect(answers.filter(Boolean)).toHaveLength(1);
    });

    it("begins anew when the window has ended", async () => {
      expect(await claims.claim("a", 95, new Date(now() + 100))).toBe(true);
      await after(150);

      expect(await claims.claim("a", 90, soon())).toBe(true);
    });

    it("takes any key", async () => {
      const odd = `a"b}{c\n${"x".repeat(5_000)}`;
      expect(await claims.claim(odd, 90, soon())).toBe(true);
      expect(await claims.claim(odd, 90, soon())).toBe(false);
    });
  });
}
