import type { FoundActor, ListedEntry, ListedPage, Source } from "../../src/actors/source.js";
import { makeActor } from "./make-actor.js";

/** A source whose back end is the test. */
export interface ScriptedSource extends Source {
  list(signal: AbortSignal): AsyncIterable<ListedPage>;
  /** What it has, by id; listed in this order. */
  readonly actors: Map<string, FoundActor>;
  /** Listed after the actors. */
  extra: readonly ListedEntry[];
  pageSize: number;
  /** Awaited before each page, and before the end, with the number of pages so far: throw here, or wait. */
  beforePage: (pages: number, signal: AbortSignal) => Promise<void>;
  /** Awaited before each answer of a look-up. */
  beforeLookup: (token: string | undefined) => Promise<void>;
  /** How often it was asked to list. */
  listings: number;
  /** What it was asked to look up. */
  readonly lookups: (string | undefined)[];
  /** Puts an actor there with the token of its id, or with `tokens`. */
  set(id: string, overrides?: Parameters<typeof makeActor>[0], tokens?: readonly string[]): void;
}

/** The token of an actor of a scripted source. */
export function tokenOf(id: string): string {
  return `slk_${Buffer.from(id).toString("hex").padStart(64, "0").slice(-64)}`;
}

/** A source that can list and look up; tokens have the form of licences. */
export function scriptedSource(name = "portal", rest: Partial<Source> = {}): ScriptedSource {
  const actors = new Map<string, FoundActor>();
  const find = (token: string | undefined): FoundActor | undefined =>
    [...actors.values()].find(({ tokens }) => token !== undefined && tokens?.includes(token));
  const source: ScriptedSource = {
    name,
    kind: "a test",
    actors,
    extra: [],
    pageSize: 1_000,
    beforePage: async () => {},
    beforeLookup: async () => {},
    listings: 0,
    lookups: [],
    owns: (token) => token !== undefined && /^slk_[0-9a-f]{64}$/.test(token),
    async lookup(token) {
      source.lookups.push(token);
      await source.beforeLookup(token);
      return find(token);
    },
    async *list(signal) {
      source.listings++;
      const entries: readonly ListedEntry[] = [
        ...[...actors.values()].map((found) => ({ kind: "actor", ...found }) as const),
        ...source.extra,
      ];
      let pages = 0;
      for (let at = 0; at < entries.length; at += source.pageSize) {
        await source.beforePage(pages++, signal);
        yield { entries: entries.slice(at, at + source.pageSize) };
      }
      await source.beforePage(pages, signal);
    },
    set(id, overrides = {}, tokens = [tokenOf(id)]) {
      actors.set(id, { actor: makeActor({ id, name: id, source: name, ...overrides }), tokens });
    },
  };
  return Object.assign(source, rest);
}
