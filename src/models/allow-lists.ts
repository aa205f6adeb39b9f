// The actors' lists of models, made ready once for each list.

import { compileGlobs, matchesGlob } from "../lib/glob.js";
import { foldName } from "./names.js";

/** Actors' lists: gateway names and patterns; an entry without a slash belongs to the upstream that is asked about. */
export interface AllowLists {
  /** Whether the list admits a gateway name. */
  admits(allowed: readonly string[], upstream: string): (name: string) => boolean;
  /** What the list and the gateway's `entries` have in common: of two entries the narrower one. For people to read. */
  shared(entries: readonly string[], allowed: readonly string[], upstream: string): readonly string[];
}

/** Gateway names that an entry admits beside itself, by folded entry. */
export type Families = ReadonlyMap<string, readonly string[]>;

interface Ready {
  readonly entries: readonly string[];
  readonly admits: (name: string) => boolean;
}

export function createAllowLists(families: Families): AllowLists {
  // Actors are kept for long and never changed, so each of their lists is compiled once.
  const ready = new WeakMap<readonly string[], Map<string, Ready>>();
  const get = (allowed: readonly string[], upstream: string): Ready => {
    let lists = ready.get(allowed);
    if (!lists) ready.set(allowed, (lists = new Map()));
    let list = lists.get(upstream);
    if (!list) {
      const entries = allowed.map((entry) => (entry === "*" || entry.includes("/") ? entry : `${upstream}/${entry}`));
      lists.set(upstream, (list = { entries, admits: compileGlobs(withFamilies(entries, families)) }));
    }
    return list;
  };

  return {
    admits: (allowed, upstream) => get(allowed, upstream).admits,
    shared(entries, allowed, upstream) {
      const actor = get(allowed, upstream);
      // A pattern that another one matches when read as a name is the narrower one of the two.
      const narrower = actor.entries.filter((entry) => entries.some((pattern) => matchesGlob(pattern, entry)));
      const all = [...entries.filter(actor.admits), ...narrower];
      return [...new Map(all.map((entry) => [foldName(entry), entry])).values()];
    },
  };
}

/** The entries, and what each of them admits beside itself. */
export function withFamilies(entries: readonly string[], families: Families): readonly string[] {
  return entries.flatMap((entry) => [entry, ...(families.get(foldName(entry)) ?? [])]);
}
