import { beforeEach, describe, expect, it } from "vitest";
import type { AlertClaims, Claim } from "../../src/usage/alert.js";

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

    const claimOf = (threshold: number, key = "a", ms = 60_000): Claim => ({
      key,
      threshold,
      until: new Date(now() + ms),
    });
    /** In a word. */
    const ask = async (claim: Claim, leaseMs = 30_000): Promise<string> => {
      const answer = await claims.claim(claim, leaseMs);
      return typeof answer === "string" ? answer : "another's";
    };

    it("gives each threshold to one, and only higher ones while it is told of", async () => {
      const answers: string[] = [];
      for (const threshold of [90, 90, 95, 90, 95, 100, 99.5]) answers.push(await ask(claimOf(threshold)));

      expect(answers).toEqual(["yours", "another's", "yours", "another's", "another's", "yours", "another's"]);
      expect(await ask(claimOf(90, "b"))).toBe("yours");
    });

    it("gives it to one of many who ask at once", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(claimOf(90))));

      expect(answers.filter((answer) => answer === "yours")).toHaveLength(1);
    });

    it("gives what was told of to nobody, and nothing lower", async () => {
      await ask(claimOf(95), 40);
      await claims.told(claimOf(95));
      await after(60);

      expect([await ask(claimOf(95)), await ask(claimOf(90)), await ask(claimOf(100))]).toEqual([
        "told",
        "told",
        "yours",
      ]);
      expect(await ask(claimOf(95))).toBe("told");
    });

    it("says when to ask again for what somebody is at, and gives it to the next one when that time is over", async () => {
      await claims.claim(claimOf(90), 80);
      const answer = await claims.claim(claimOf(90), 80);

      if (typeof answer === "string") throw new Error(answer);
      const waitMs = answer.askAgainAt.getTime() - now();
      expect(waitMs).toBeGreaterThan(-80);
      expect(waitMs).toBeLessThanOrEqual(80);
      await after(100);
      expect(await ask(claimOf(90))).toBe("yours");
    });

    it("gives what was not told of to the next one, after the pause", async () => {
      await ask(claimOf(90));
      await claims.release(claimOf(90), 0);
      expect(await ask(claimOf(90))).toBe("yours");

      await claims.release(claimOf(90), 10_000);
      expect(await ask(claimOf(90))).toBe("another's");
      await claims.release(claimOf(90), 50);
      await after(70);
      expect(await ask(claimOf(90))).toBe("yours");
    });

    it("keeps a higher threshold with who has it, whatever becomes of a lower one", async () => {
      await ask(claimOf(90));
      await ask(claimOf(95));
      await claims.release(claimOf(90), 0);
      expect(await ask(claimOf(95))).toBe("another's");
      await claims.told(claimOf(90));
      expect(await ask(claimOf(95))).toBe("another's");

      await claims.told(claimOf(95));
      await claims.told(claimOf(90));
      expect(await ask(claimOf(95))).toBe("told");
    });

    it("takes for told what is said to be, whoever had claimed it", async () => {
      await claims.told(claimOf(95));
      await claims.release(claimOf(95), 0);
      expect(await ask(claimOf(90))).toBe("told");
    });

    it("begins anew when the window has ended", async () => {
      await claims.told(claimOf(95, "a", 100));
      expect(await ask(claimOf(95, "b", 100))).toBe("yours");
      await after(150);

      expect(await ask(claimOf(90, "a"))).toBe("yours");
      expect(await ask(claimOf(90, "b"))).toBe("yours");
    });

    it("takes any key", async () => {
      const odd = `a"b}{c\n${"x".repeat(5_000)}`;
      expect(await ask(claimOf(90, odd))).toBe("yours");
      await claims.told(claimOf(90, odd));
      expect(await ask(claimOf(90, odd))).toBe("told");
    });
  });
}
