import { afterEach, describe, expect, it } from "vitest";
import { features } from "../../src/actors/actor.js";
import { type FoundActor, type ListedEntry, type Source, SourceError } from "../../src/actors/source.js";

/** A source with what the suite needs to know of it. */
export interface SourceUnderTest {
  readonly source: Source;
  /** A token that has an actor; undefined: the request without one. */
  readonly known: string | undefined;
  /** Tokens that are other sources' business. */
  readonly foreign: readonly (string | undefined)[];
  /** Tokens of the source's own form that belong to nobody; empty when it has no such. */
  readonly unknown: readonly string[];
  /** An id that nobody has, where the source finds by id. */
  readonly unknownId?: string;
  /** Keeps the back end from answering until `mend`; undefined: nothing is behind it that could fail. */
  readonly outages?: readonly { readonly name: string; begin(): void }[];
  readonly mend?: () => void;
}

/** What every source must do. Run it for each source. */
export function describeSource(name: string, make: () => Promise<SourceUnderTest>): void {
  const { signal } = new AbortController();
  const made: Source[] = [];
  afterEach(async () => {
    for (const source of made.splice(0)) await source.close?.();
  });

  async function start(): Promise<SourceUnderTest> {
    const under = await make();
    made.push(under.source);
    return under;
  }

  describe(`${name} as a source`, () => {
    it("has a short, plain name", async () => {
      const { source } = await start();

      expect(source.name).toMatch(/^[a-z][a-z-]{0,39}$/);
      expect(source.kind).toMatch(/^\w[\w. ]+$/);
    });

    it("finds the actor of a token that it owns", async () => {
      const { source, known } = await start();

      expect(source.owns(known)).toBe(true);
      const actor = (await source.lookup(known, signal))?.actor;

      expect(actor).toMatchObject({ source: source.name, accessEnabled: true });
      expect(actor?.id).toMatch(/^\S+$/);
      expect(actor?.updatedAt).toBeInstanceOf(Date);
    });

    it("tells of the token that was asked for, where it tells of tokens", async () => {
      const { source, known } = await start();
      const found = await source.lookup(known, signal);

      if (found?.tokens) expect(found.tokens).toContain(known);
    });

    it("gives actors whose limits can be enforced", async () => {
      const { source, known } = await start();

      for (const actor of [(await source.lookup(known, signal))?.actor, ...actorsOf(await listed(source, signal))]) {
        expect(features).toEqual(expect.arrayContaining(Object.keys(actor?.features ?? {})));
        for (const access of Object.values(actor?.features ?? {})) {
          expect(access.models.length).toBeGreaterThan(0);
          for (const limit of access.limits) {
            expect(limit.amount).toSatisfy((amount: number) => Number.isSafeInteger(amount) && amount >= 0);
            expect(limit.windowMs).toSatisfy((ms: number) => Number.isSafeInteger(ms) && ms > 0);
          }
        }
      }
    });

    it("says the same when asked again", async () => {
      const { source, known } = await start();

      const first = (await source.lookup(known, signal))?.actor;
      const second = (await source.lookup(known, signal))?.actor;

      expect({ ...second, updatedAt: 0 }).toEqual({ ...first, updatedAt: 0 });
    });

    it("leaves the tokens of others to them", async () => {
      const { source, foreign } = await start();

      expect(foreign.filter((token) => source.owns(token))).toEqual([]);
    });

    it("knows nobody by a token of its form that was never given out", async () => {
      const { source, unknown } = await start();

      for (const token of unknown) expect(await source.lookup(token, signal)).toBeUndefined();
    });

    it("owns and finds every token that it lists, as the actor that it lists", async () => {
      const { source } = await start();

      for (const { actor, tokens } of foundIn(await listed(source, signal))) {
        for (const token of tokens ?? []) {
          expect(source.owns(token)).toBe(true);
          const found = await source.lookup(token, signal);
          expect({ ...found?.actor, updatedAt: 0 }).toEqual({ ...actor, updatedAt: 0 });
        }
      }
    });

    it("lists each actor once", async () => {
      const { source } = await start();
      const ids = actorsOf(await listed(source, signal)).map(({ id }) => id);

      expect(new Set(ids).size).toBe(ids.length);
    });

    it("finds each actor that it lists by its id, and nobody by another", async () => {
      const { source, unknownId = "nobody" } = await start();
      if (!source.lookupId) return;

      for (const { id, name: called } of actorsOf(await listed(source, signal)))
        expect(await source.lookupId(id, signal)).toMatchObject({ actor: { id, name: called } });
      expect(await source.lookupId(unknownId, signal)).toBeUndefined();
    });

    it("breaks a listing off when it is told to stop", async () => {
      const { source } = await start();
      if (!source.list) return;
      const stop = new AbortController();
      stop.abort(new Error("told to stop"));

      await expect(listed(source, stop.signal)).rejects.toThrow();
    });

    it("says of an outage that it cannot say, and nothing secret, and is there again after it", async () => {
      const { source, known, unknown, outages = [], mend } = await start();

      for (const outage of outages) {
        outage.begin();
        for (const call of callsOf(source, [known, ...unknown], signal)) {
          const error = await call().then(
            (found) => new Error(`${outage.name}: found ${JSON.stringify(found)}`),
            (reason: unknown) => reason as Error,
          );
          expect(error, outage.name).toBeInstanceOf(SourceError);
          for (const token of [known, ...unknown]) expect(error.message).not.toContain(token);
        }
        mend?.();
        expect(await source.lookup(known, signal), outage.name).toBeDefined();
      }
    });
  });
}

/** Everything that goes to the back end. */
function callsOf(source: Source, tokens: readonly (string | undefined)[], signal: AbortSignal) {
  const { lookupId, list } = source;
  return [
    ...tokens.map((token) => () => source.lookup(token, signal)),
    ...(lookupId ? [() => lookupId("anybody", signal)] : []),
    ...(list ? [() => listed(source, signal)] : []),
  ] as const;
}

async function listed(source: Source, signal: AbortSignal): Promise<readonly ListedEntry[]> {
  const entries: ListedEntry[] = [];
  for await (const page of source.list?.(signal) ?? []) entries.push(...page.entries);
  return entries;
}

function foundIn(entries: readonly ListedEntry[]): readonly FoundActor[] {
  return entries.filter((entry) => entry.kind === "actor");
}

function actorsOf(entries: readonly ListedEntry[]) {
  return foundIn(entries).map(({ actor }) => actor);
}
