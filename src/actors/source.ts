import type { Actor } from "./actor.js";

/** Somewhere actors come from. Caching, single flight, hashing and order are `sources.ts`; a source holds none of it. */
export interface Source {
  /** True for a source that answers from memory: it is asked at every request, and nothing of it is kept. */
  readonly local?: true;
  /** All its actors, with their tokens hashed: only of a `local` source. */
  readonly known?: () => Iterable<{ readonly actor: Actor; readonly tokenHashes: readonly string[] }>;
  /** Short and stable: stored with each cached actor and on each usage event. */
  readonly name: string;
  /** What it is, for people to read: `Enterprise Portal`. */
  readonly kind: string;
  /** Whether `token` has this source's form; undefined is a request without a token. Must not do I/O. */
  owns(token: string | undefined): boolean;
  /** The actor `token` belongs to, or undefined when it belongs to nobody. Throws when the back end cannot say. */
  lookup(token: string | undefined, signal: AbortSignal): Promise<FoundActor | undefined>;
  /** The actor of this id, or undefined when there is none. Left out when the back end finds actors by their tokens only. */
  lookupId?(id: string, signal: AbortSignal): Promise<FoundActor | undefined>;
  /**
   * All actors, page by page, for the periodic sync; ends normally only when the listing is complete. Left out when the back
   * end cannot list. Throws when it breaks off.
   */
  list?(signal: AbortSignal): AsyncIterable<ListedPage>;
  /** What who shows a token of its form that belongs to nobody is told, where clients know a text. */
  readonly denial?: string;
  /** After what time an actor that is in use is asked for anew, ms; absent: the sync sees to it. */
  readonly staleAfterMs?: number;
  /** How long after its last update an actor may not be refreshed on its own request, ms. */
  readonly coolDownMs?: number;
  /** A changed interval of a limit starts its window anew (and nothing else does): the source promises that to its users. */
  readonly resetsUsage?: true;
  /** Ends its connections: nothing is asked of it any more. */
  close?(): Promise<void>;
}

/** An actor with the tokens it is known by, raw: they are hashed by whoever keeps it. */
export interface FoundActor {
  readonly actor: Actor;
  /** All of them; undefined: the source tells of none but the one that was asked for. */
  readonly tokens: readonly string[] | undefined;
}

/** A part of a source's listing. */
export interface ListedPage {
  /** Read once, one by one: they may be made as they are read. None says that the listing goes on, and is no page. */
  readonly entries: Iterable<ListedEntry>;
  /** How many actors there will be in all, where the source says. */
  readonly estimatedTotal?: number;
}

/** One entry of a listing: an actor, or something that makes no sense and is left out. */
export type ListedEntry =
  | ({ readonly kind: "actor" } & FoundActor)
  | {
      readonly kind: "invalid";
      /** Whose entry it is, where that can be told: what is known of it stays. */
      readonly id: string | undefined;
      /** What is wrong, in words without secrets. */
      readonly problem: string;
    };

/** What a source throws when its back end cannot say. The message is for operators: what is wrong there, without secrets. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  /** The back end answered, but what it said of this one actor makes no sense: others can be asked for. */
  readonly ofActor: boolean;
  constructor(message: string, options: ErrorOptions & { readonly ofActor?: boolean } = {}) {
    super(message, options);
    this.ofActor = options.ofActor ?? false;
  }
}
