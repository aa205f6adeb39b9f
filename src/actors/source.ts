import type { Actor } from "./actor.js";

/** Somewhere actors come from. Caching, single flight, hashing and order are `sources.ts`; a source holds none of it. */
export interface Source {
  /** True for a source that answers from memory: its look-ups need no limit in time. */
  readonly local?: true;
  /** Short and stable: stored with each cached actor and on each usage event. */
  readonly name: string;
  /** Whether `token` has this source's form; undefined is a request without a token. Must not do I/O. */
  owns(token: string | undefined): boolean;
  /** The actor `token` belongs to, or undefined when it belongs to nobody. Throws when the back end cannot say. */
  lookup(token: string | undefined, signal: AbortSignal): Promise<Actor | undefined>;
  /** All actors with their tokens, for the periodic sync. Left out when the back end cannot list. */
  list?(signal: AbortSignal): AsyncIterable<ListedActor>;
}

/** One entry of a source's listing. */
export interface ListedActor {
  readonly actor: Actor;
  readonly tokens: readonly string[];
}
