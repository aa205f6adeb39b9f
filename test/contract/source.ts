import { describe, expect, it } from "vitest";
import { features } from "../../src/actors/actor.js";
import type { Source } from "../../src/actors/source.js";

/** A source with what the suite needs to know of it. */
export interface SourceUnderTest {
  readonly source: Source;
  /** A token that has an actor; undefined: the request without one. */
  readonly known: string | undefined;
  /** Tokens that are other sources' business. */
  readonly foreign: readonly (string | undefined)[];
  /** Tokens of the source's own form that belong to nobody; empty when it has no such. */
  readonly unknown: readonly string[];
}

/** What every source must do. Run it for each source. */
export function describeSource(name: string, make: () => Promise<SourceUnderTest>): void {
  const { signal } = new AbortController();

  describe(`${name} as a source`, () => {
    it("has a short, plain name", async () => {
      expect((await make()).source.name).toMatch(/^[a-z][a-z-]{0,39}$/);
    });

    it("finds the actor of a token that it owns", async () => {
      const { source, known } = await make();

      expect(source.owns(known)).toBe(true);
      const actor = (await source.lookup(known, signal))?.actor;

      expect(actor).toMatchObject({ source: source.name, accessEnabled: true });
      expect(actor?.id).toMatch(/^\S+$/);
      expect(actor?.updatedAt).toBeInstanceOf(Date);
    });

    it("gives actors whose limits can be enforced", async () => {
      const { source, known } = await make();
      const actor = (await source.lookup(known, signal))?.actor;

      expect(features).toEqual(expect.arrayContaining(Object.keys(actor?.features ?? {})));
      for (const access of Object.values(actor?.features ?? {})) {
        expect(access.models.length).toBeGreaterThan(0);
        for (const limit of access.limits) {
          expect(limit.amount).toSatisfy((amount: number) => Number.isSafeInteger(amount) && amount >= 0);
          expect(limit.windowMs).toBeGreaterThan(0);
        }
      }
    });

    it("says the same when asked again", async () => {
      const { source, known } = await make();

      const first = (await source.lookup(known, signal))?.actor;
      const second = (await source.lookup(known, signal))?.actor;

      expect({ ...second, updatedAt: 0 }).toEqual({ ...first, updatedAt: 0 });
    });

    it("leaves the tokens of others to them", async () => {
      const { source, foreign } = await make();

      expect(foreign.filter((token) => source.owns(token))).toEqual([]);
    });

    it("knows nobody by a token of its form that was never given out", async () => {
      const { source, unknown } = await make();

      for (const token of unknown) expect(await source.lookup(token, signal)).toBeUndefined();
    });

    it("owns and finds every token that it lists", async () => {
      const { source } = await make();

      for await (const { entries } of source.list?.(signal) ?? []) {
        for (const entry of entries) {
          for (const token of entry.kind === "actor" ? (entry.tokens ?? []) : []) {
            expect(source.owns(token)).toBe(true);
            expect(await source.lookup(token, signal)).toMatchObject({ actor: { source: source.name } });
          }
        }
      }
    });
  });
}
