// One sync from the first page to the last removal, whoever runs it and however it is told of.

import { abortable } from "../lib/abortable.js";
import { createTurns } from "../lib/turns.js";
import { createWideMap } from "../lib/wide-map.js";
import { differenceOf } from "./actor-difference.js";
import type { Directory, Known } from "./directory.js";
import { actorRecord, actorRemoval } from "./records.js";
import { holdOf } from "./shrink-guard.js";
import type { FoundActor, ListedEntry, Source } from "./source.js";
import { maxKeyLength, type StoreRecord } from "./store.js";
import type { SyncCounts, SyncHold } from "./sync-state.js";
import { isToCome } from "./to-come.js";
import { normaliseToken, type TokenHasher } from "./token.js";

/** What a sync does to one actor. */
export interface SyncChange {
  readonly kind: "added" | "changed" | "removed" | "quarantined";
  /** Undefined for an entry of which it cannot be told whose it is. */
  readonly id: string | undefined;
  readonly name: string;
  /** What changed, or what is wrong with the entry, in words. */
  readonly detail: string;
}

export interface SyncRunParts {
  readonly source: ListingSource;
  readonly directory: Pick<Directory, "get" | "of" | "count">;
  readonly hasher: TokenHasher;
  /** Takes over some records, fewer than a store takes at once; throws when the right to do so is lost. */
  readonly write: (records: readonly StoreRecord[]) => Promise<void>;
  /** Called as it goes on, often. Must not throw. */
  readonly onCounts?: (counts: SyncCounts) => void;
  /** Called with each change, as soon as it is found. Must not throw. */
  readonly onChange?: (change: SyncChange) => void;
}

/** A source that can list its actors. */
export type ListingSource = Source & Required<Pick<Source, "list">>;

export interface SyncRunOptions {
  /** By the store's clock. What was learned later from look-ups is newer than the listing, and stays. */
  readonly startedAt: number;
  /** The store's clock. */
  readonly now: () => number;
  /** Finds out what would change, and changes nothing. */
  readonly dryRun: boolean;
  /** Removes what is missing, however much. */
  readonly allowShrink: boolean;
  /** Share of the known that may go missing, 0 to 1. */
  readonly shrinkGuard: number;
  readonly signal: AbortSignal;
}

export interface SyncResult {
  readonly counts: SyncCounts;
  /** Why what is missing was kept; undefined when it was removed, or nothing was missing. */
  readonly hold: SyncHold | undefined;
}

/** Records written at once: taking them over is one turn of the event loop, in which garbage may have to be collected, too. */
const batchRecords = 50;

/**
 * Takes over what the source lists, page by page, and in the end removes what it does not. Throws when the listing breaks
 * off: then nothing is removed.
 */
export async function runSync(parts: SyncRunParts, options: SyncRunOptions): Promise<SyncResult> {
  const { source, directory, onCounts } = parts;
  const { signal } = options;
  const known = directory.count(source.name);
  const counts = startCounts(known);
  const take = createTaker(parts, options, counts);
  const turns = createTurns(2);

  for await (const page of abortable(source.list(signal), signal)) {
    const before = counts.seen;
    if (page.estimatedTotal !== undefined) counts.estimatedTotal = page.estimatedTotal;
    for (const entry of page.entries) {
      if (take.entry(entry)) await take.flush();
      const turn = turns.next();
      if (turn) await turn;
    }
    await take.flush();
    if (counts.seen > before) counts.pages++;
    onCounts?.({ ...counts });
  }
  // A source that was told to stop may end as if that were all.
  signal.throwIfAborted();

  const { missing, spoilt } = await take.unconfirmed();
  const shrinkage = { known, missing: missing.length, listed: counts.seen, nameless: take.nameless };
  const hold = options.allowShrink ? undefined : holdOf(shrinkage, options.shrinkGuard);
  await (hold ? take.mark(missing) : take.remove(missing));
  await take.mark(spoilt);
  counts.estimatedTotal = counts.seen;
  onCounts?.({ ...counts });
  return { counts: { ...counts }, hold };
}

type Counting = { -readonly [K in keyof SyncCounts]: SyncCounts[K] };

function startCounts(known: number): Counting {
  const counts = { pages: 0, seen: 0, added: 0, changed: 0, unchanged: 0, removed: 0, quarantined: 0 };
  return known > 0 ? { ...counts, estimatedTotal: known } : counts;
}

/** Takes entries of a listing one by one, and remembers whose they were. */
function createTaker(parts: SyncRunParts, options: SyncRunOptions, counts: Counting) {
  const { source, directory, hasher, write, onChange = () => {} } = parts;
  const { startedAt, dryRun, now } = options;
  const seen = createWideMap<true>();
  /** Whose entry makes no sense. */
  const spoilt = new Set<string>();
  const holders = createWideMap<string>();
  const updatedAt = new Date(startedAt);
  let nameless = 0;
  let batch: StoreRecord[] = [];

  /** Returns whether there is enough to be written. */
  function put(record: StoreRecord): boolean {
    if (!dryRun) batch.push(record);
    return batch.length >= batchRecords;
  }

  async function flush(): Promise<void> {
    if (batch.length === 0) return;
    const records = batch;
    batch = [];
    await write(records);
  }

  function quarantine(id: string | undefined, name: string, problem: string): false {
    counts.quarantined++;
    if (id === undefined || id === "") nameless++;
    else spoilt.add(id);
    onChange({ kind: "quarantined", id, name, detail: problem });
    return false;
  }

  function hashesOf({ actor, tokens }: FoundActor, known: Known | undefined): readonly string[] {
    if (tokens === undefined) return known?.tokenHashes ?? [];
    const hashes = [...new Set(tokens.map((token) => hasher.hash(normaliseToken(token))))];
    // Who is listed first keeps a token that is listed twice: one of the entries is wrong, and nobody knows which.
    const own = hashes.filter((hash) => (holders.get(hash) ?? actor.id) === actor.id);
    // What is known already is kept, not a copy of it.
    const kept =
      known && own.length === known.tokenHashes.length && own.every((hash, at) => hash === known.tokenHashes[at]);
    const held = kept ? known.tokenHashes : own;
    for (const hash of held) holders.set(hash, known?.id ?? actor.id);
    return held;
  }

  /** Whether it was learned after the listing began. */
  function isNewer({ told }: Known): boolean {
    const at = told.updatedAt.getTime();
    return at > startedAt && !isToCome(at, now());
  }

  function takeActor(found: FoundActor): boolean {
    const { id, name } = found.actor;
    const problem = unfitness(source.name, found);
    if (problem !== undefined) return quarantine(id, name.slice(0, 100), problem);
    if (seen.has(id)) return quarantine(id, name, "is listed twice: the first entry counts");
    const known = directory.get(source.name, id);
    seen.set(known?.id ?? id, true);
    const tokenHashes = hashesOf(found, known);
    if (found.tokens !== undefined && tokenHashes.length < new Set(found.tokens).size)
      quarantine(id, name, "has a token that another entry before it has: the first entry counts");
    const told = { ...found.actor, updatedAt };
    if (known && isNewer(known)) {
      counts.unchanged++;
      return false;
    }
    const difference =
      known && differenceOf({ actor: known.told, tokenHashes: known.tokenHashes }, { actor: told, tokenHashes });
    if (known && difference === undefined && known.unlistedAt === undefined) {
      counts.unchanged++;
      // Its age is told by the time of the sync, but not while it is younger than that.
      return isToCome(known.told.updatedAt.getTime(), now()) && put(actorRecord({ told, tokenHashes }));
    }
    counts[known ? "changed" : "added"]++;
    onChange({ kind: known ? "changed" : "added", id, name, detail: known ? (difference ?? "is listed again") : "" });
    return put(actorRecord({ told, tokenHashes }));
  }

  /** Writes something for each of the actors that are missing. */
  async function forEach(missing: readonly Known[], record: (known: Known) => StoreRecord): Promise<void> {
    const turns = createTurns();
    for (const known of missing) {
      if (put(record(known))) await flush();
      const turn = turns.next();
      if (turn) await turn;
    }
    await flush();
  }

  return {
    get nameless() {
      return nameless;
    },
    flush,
    /** Returns whether it is time to flush. */
    entry(entry: ListedEntry): boolean {
      counts.seen++;
      return entry.kind === "actor" ? takeActor(entry) : quarantine(entry.id, "", entry.problem);
    },
    /** The actors that were known before the listing, and are not in it or only as an entry that makes no sense. */
    async unconfirmed(): Promise<Record<"missing" | "spoilt", readonly Known[]>> {
      const turns = createTurns();
      const missing: Known[] = [];
      const inNonsense: Known[] = [];
      for (const known of directory.of(source.name)) {
        const { id } = known;
        if (!seen.has(id) && !isNewer(known)) (spoilt.has(id) ? inNonsense : missing).push(known);
        const turn = turns.next();
        if (turn) await turn;
      }
      return { missing, spoilt: inNonsense };
    },
    remove: (missing: readonly Known[]) =>
      forEach(missing, ({ id, told }) => {
        counts.removed++;
        onChange({ kind: "removed", id, name: told.name, detail: "is no longer listed" });
        return actorRemoval(source.name, id);
      }),
    /** They stay, but are no longer confirmed by the source. */
    mark: (missing: readonly Known[]) =>
      forEach(
        missing.filter(({ unlistedAt }) => unlistedAt === undefined || isToCome(unlistedAt, now())),
        ({ told, tokenHashes }) => actorRecord({ told, tokenHashes, unlistedAt: startedAt }),
      ),
  };
}

/** Longest name, and most tokens, of an actor that is kept. */
const maxNameLength = 1_000;
const maxTokens = 1_000;

/** Why the store cannot take the actor; undefined when it can. */
function unfitness(source: string, { actor, tokens }: FoundActor): string | undefined {
  const keyLength = source.length + 1 + actor.id.length;
  if (actor.id === "" || keyLength > maxKeyLength) return `has an id of ${actor.id.length} characters`;
  if (/\p{Surrogate}/u.test(actor.id)) return "has an id that is no text";
  if (actor.name.length > maxNameLength) return `has a name of ${actor.name.length} characters`;
  if (tokens !== undefined && tokens.length > maxTokens) return `has ${tokens.length} tokens`;
  return undefined;
}
