// What a source answered about one actor, as it is remembered: by all processes, or by this one alone while the store is away.

import { UnavailableError } from "../errors.js";
import { createSerial } from "../lib/serial.js";
import type { Actor, Feature } from "./actor.js";
import { changedIntervals } from "./actor-difference.js";
import { type Directory, type Known, maxUnknownMs } from "./directory.js";
import type { FreshnessOptions } from "./freshness.js";
import { actorKey, actorRecord, actorRemoval, type ToldActor, unknownRecord, unknownRemoval } from "./records.js";
import type { FoundActor, Source } from "./source.js";
import type { ActorStore, StoreRecord } from "./store.js";
import { isToCome } from "./to-come.js";
import { normaliseToken, type TokenHasher } from "./token.js";

/** Remembers answers of sources. Each call resolves once this process' directory knows. */
export interface Remember {
  /** The source has this actor. */
  found(source: Source, found: FoundActor, asked: Asked): Promise<void>;
  /** The token belongs to nobody. */
  nobody(tokenHash: string): Promise<void>;
  /** The source no longer has the actor. */
  gone(known: Known): Promise<void>;
}

/** What the source was asked. */
export interface Asked {
  /** Of the token it was asked for; absent: for the actor's id. */
  readonly tokenHash?: string;
  /** When, by the store's clock. */
  readonly at: number;
}

export interface RememberParts {
  readonly store: Pick<ActorStore, "now" | "write">;
  readonly directory: Pick<Directory, "get" | "byToken" | "changed" | "effective">;
  readonly hasher: TokenHasher;
  /** The length of a window changed, and the source promises that it then begins anew. Called in one process. Must not throw. */
  readonly onIntervalChanged: (actor: Actor, feature: Feature) => void;
}

/** How long a token of nobody is not asked for again, at least; up to twice that, so that not all end together. */
const unknownMs = maxUnknownMs / 2;
/** How long at least an actor is remembered that nobody uses, of a source that cannot list those it has. */
const unusedMs = 7 * 86_400_000;
/** Most tokens of an actor whose source tells of them one by one. */
const maxTokens = 20;

/** `maxStaleMs`: how long a token is good that is not confirmed, where its source does not want it to be asked for earlier. */
export function createRemember(parts: RememberParts, { maxStaleMs }: Pick<FreshnessOptions, "maxStaleMs">): Remember {
  const { store, directory, hasher, onIntervalChanged } = parts;
  const inOrder = createSerial();

  async function write(records: readonly StoreRecord[]): Promise<void> {
    try {
      await store.write(records);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      directory.changed(records);
    }
  }

  /** The actor's tokens with the one that was asked for, when each was confirmed, the youngest. */
  function tokensOneByOne(
    { staleAfterMs = 0 }: Source,
    known: Known | undefined,
    tokenHash: string | undefined,
    at: number,
  ) {
    const times = new Map(
      known?.tokenHashes.map((hash, index) => {
        const time = known.tokenTimes?.[index] ?? known.told.updatedAt.getTime();
        // After the clock was set back, times to come must not outlast that of the token that was asked for.
        return [hash, Math.min(time, at - 1)];
      }),
    );
    if (tokenHash !== undefined) times.set(tokenHash, at);
    const young = [...times].filter(([, time]) => time > at - Math.max(maxStaleMs, staleAfterMs));
    const kept = young.toSorted(([, a], [, b]) => b - a).slice(0, maxTokens);
    return { tokenHashes: kept.map(([hash]) => hash), tokenTimes: kept.map(([, time]) => time) };
  }

  function toldOf(source: Source, found: FoundActor, known: Known | undefined, asked: Asked): ToldActor {
    const { tokenHash, at } = asked;
    // What was asked for later, by a sync or another look-up, may have been answered earlier: it counts.
    const later = known !== undefined && isLater(known, at) ? known : undefined;
    const told = later?.told ?? { ...found.actor, updatedAt: new Date(at) };
    if (found.tokens === undefined) {
      const expiresAt = at + Math.max(unusedMs, maxStaleMs);
      return { told, ...tokensOneByOne(source, known, tokenHash, at), expiresAt };
    }
    if (later) return later;
    const all = found.tokens.map((token) => hasher.hash(normaliseToken(token)));
    // The source found the actor by it, whether it tells so or not.
    return { told, tokenHashes: [...new Set(tokenHash === undefined ? all : [...all, tokenHash])] };
  }

  function isLater({ told }: Known, at: number): boolean {
    const toldAt = told.updatedAt.getTime();
    return toldAt > at && !isToCome(toldAt, store.now());
  }

  /** The actor without the token; its removal when it was the last one. */
  function without(known: Known, tokenHash: string): StoreRecord {
    const left = known.tokenHashes.filter((hash) => hash !== tokenHash);
    if (left.length === 0) return actorRemoval(known.source, known.id);
    const tokenTimes = known.tokenTimes?.filter((_, index) => known.tokenHashes[index] !== tokenHash);
    return actorRecord({ ...known, tokenHashes: left, tokenTimes });
  }

  return {
    found(source, found, asked) {
      const { id } = found.actor;
      const { tokenHash } = asked;
      return inOrder(actorKey(source.name, id), async () => {
        const known = directory.get(source.name, id);
        const told = toldOf(source, found, known, asked);
        const holder = tokenHash === undefined ? undefined : directory.byToken(tokenHash);
        const moved = holder !== undefined && holder.id !== id;
        await write([
          ...(moved ? [without(holder, tokenHash as string)] : []),
          ...(tokenHash === undefined ? [] : [unknownRemoval(tokenHash)]),
          actorRecord(told),
        ]);
        if (!known || !source.resetsUsage) return;
        // What counts: where an operator set other limits, the source's say nothing.
        const actor = directory.effective(told.told);
        for (const feature of changedIntervals(known.actor, actor)) onIntervalChanged(actor, feature);
      });
    },
    async nobody(tokenHash) {
      const expiresAt = Math.round(store.now() + unknownMs * (1 + Math.random()));
      const holder = directory.byToken(tokenHash);
      await write([...(holder ? [without(holder, tokenHash)] : []), unknownRecord(tokenHash, expiresAt)]);
    },
    gone: ({ source, id }) => write([actorRemoval(source, id)]),
  };
}
