// All actors there are, wherever they are kept: in the directory, or with a source that answers from memory.

import type { Actor } from "./actor.js";
import type { Directory, Known } from "./directory.js";
import type { Source } from "./source.js";

export interface Roster {
  get(source: string, id: string): Known | undefined;
  /** The actors of a source, or of all, in no order. */
  all(source?: string): Iterable<Known>;
  /** Names of the sources that it has actors of. */
  sources(): readonly string[];
  /** The actors of sources that answer from memory. */
  local(): Iterable<Known>;
  /** How many actors of the source are known. */
  count(source: string): number;
}

export function createRoster(parts: { readonly sources: readonly Source[]; readonly directory: Directory }): Roster {
  const { sources, directory } = parts;
  const local = new Map(sources.flatMap((source) => (source.known ? [[source.name, source.known] as const] : [])));

  function asKnown(told: Actor, tokenHashes: readonly string[]): Known {
    const { source, id } = told;
    const actor = directory.effective(told);
    return { source, id, told, actor, tokenHashes, overrides: directory.overridesOf(source, id) };
  }

  function* of(source: string): Generator<Known> {
    const actors = local.get(source);
    if (!actors) yield* directory.of(source);
    else for (const { actor, tokenHashes } of actors()) yield asKnown(actor, tokenHashes);
  }

  const roster: Roster = {
    get(source, id) {
      if (!local.has(source)) return directory.get(source, id);
      for (const each of of(source)) if (each.id === id) return each;
      return undefined;
    },
    *all(source) {
      if (source !== undefined) yield* of(source);
      else for (const each of roster.sources()) yield* of(each);
    },
    sources: () => [...new Set([...local.keys(), ...directory.sources()])],
    *local() {
      for (const source of local.keys()) yield* of(source);
    },
    count(source) {
      const actors = local.get(source);
      return actors ? [...actors()].length : directory.count(source);
    },
  };
  return roster;
}
