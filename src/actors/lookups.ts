// Asking a source for one actor: as seldom as can be, for as short as can be, and in a way that nobody can make a burden.

import { UnavailableError } from "../errors.js";
import { createExpiringMap } from "../lib/expiring-map.js";
import type { Known } from "./directory.js";
import { createLookupPermits, type LookupPurpose } from "./lookup-permits.js";
import { createLookupTurns } from "./lookup-turns.js";
import type { Source } from "./source.js";
import {
  type Answer,
  createSourceCalls,
  failedRetryMs,
  type LookingById,
  type OwnedToken,
  type SourceCallsParts,
  sourceUnavailable,
} from "./source-calls.js";
import type { ActorStore } from "./store.js";

/** What came of asking a source, for metrics. `limited`: it was not asked, to spare it. */
export type LookupOutcome = "found" | "nobody" | "failed" | "limited";

export interface Lookups {
  /**
   * What the source says of the token, or what is known by then and `isGood`. Throws `UnavailableError` when the source cannot
   * say, or is not asked to spare it.
   */
  ask(owned: OwnedToken, isGood: (known: Known) => boolean): Promise<Answer>;
  /** Asks for an actor that is known, in the background; not now when that is too much. */
  refreshSoon(owned: OwnedToken): void;
  /** Asks now, whatever is known, and once for all who want that meanwhile. Throws as `ask`. */
  refresh(owned: OwnedToken): Promise<Answer>;
  /** The same by the actor's id, for sources that find actors by it. */
  refreshById(source: LookingById, id: string): Promise<Answer>;
  close(): void;
}

export interface LookupsParts extends Omit<SourceCallsParts, "store" | "onOutcome" | "onFailed"> {
  readonly store: ActorStore;
  /** This process, as others see it. */
  readonly process: string;
  /** Must not throw. */
  readonly onOutcome: (source: string, outcome: LookupOutcome) => void;
}

/** When callers may try again because the source was not asked. */
const limitedRetryMs = 2_000;
/** A refresh that failed is tried again after this time. */
const refreshRetryMs = 30_000;
/** Most callers of one process that wait for look-ups. */
const maxWaiting = 2_000;
/** Most tokens of which it is remembered that asking for them failed. */
const maxFailed = 10_000;

/** Look-ups of all sources. */
export function createLookups(parts: LookupsParts): Lookups {
  const { store, directory, process, watchOf, onOutcome } = parts;
  const permits = createLookupPermits(store);
  const failed = createExpiringMap<true>(() => performance.now(), maxFailed);
  const calls = createSourceCalls({
    ...parts,
    onFailed: (tokenHash) => failed.set(tokenHash, true, failedRetryMs),
  });
  const turns = createLookupTurns({
    store,
    process,
    onFailed: (tokenHash, retryAfterMs) => failed.set(tokenHash, true, retryAfterMs),
    hasFailed: (tokenHash) => failed.get(tokenHash) === true,
  });
  const unlisten = directory.onChange(({ kind }) => {
    if (kind === "actor" || kind === "unknown") turns.told();
  });
  /** By what is asked for; the same for all who ask for it meanwhile. */
  const underWay = new Map<string, Promise<Answer>>();
  let waiting = 0;

  function limited(source: Source): UnavailableError {
    onOutcome(source.name, "limited");
    return new UnavailableError("SOURCE_UNAVAILABLE", "the token's source is asked too often", limitedRetryMs);
  }

  /** Why the source is not asked; undefined: it may be. */
  function refusalOf({ source, tokenHash }: OwnedToken): UnavailableError | undefined {
    if (failed.get(tokenHash) || watchOf(source.name).isPaused()) return sourceUnavailable();
    return permits.admit("cold") ? undefined : limited(source);
  }

  async function callWithPermit(owned: OwnedToken, purpose: LookupPurpose): Promise<Answer> {
    if (!(await permits.take(purpose))) throw limited(owned.source);
    return calls.byToken(owned);
  }

  /** What is under way for this already, or `begin`. */
  async function together(what: string, begin: () => Promise<Answer>): Promise<Answer> {
    if (waiting >= maxWaiting) throw new UnavailableError("OVERLOADED", "too many wait for a look-up", limitedRetryMs);
    let answer = underWay.get(what);
    if (!answer) {
      answer = begin();
      underWay.set(what, answer);
      const forget = (): void => void underWay.delete(what);
      answer.then(forget, forget);
    }
    waiting++;
    try {
      return await answer;
    } finally {
      waiting--;
    }
  }

  return {
    ask(owned, isGood) {
      const { tokenHash } = owned;
      const what = `ask ${tokenHash}`;
      const refusal = underWay.has(what) ? undefined : refusalOf(owned);
      if (refusal) return Promise.reject(refusal);
      const answer = (): Answer | undefined => {
        const known = directory.byToken(tokenHash);
        if (known) return isGood(known) ? { kind: "known", known } : undefined;
        return directory.isUnknown(tokenHash) ? { kind: "nobody" } : undefined;
      };
      return together(what, () => turns.take(tokenHash, answer, () => callWithPermit(owned, "cold")));
    },

    refreshSoon(owned) {
      const what = `soon ${owned.tokenHash}`;
      if (underWay.has(what) || failed.get(what)) return;
      if (watchOf(owned.source.name).isPaused() || !permits.admit("refresh")) return;
      together(what, async () => {
        const answer = await turns.takeIfFree(owned.tokenHash, () => callWithPermit(owned, "refresh"));
        if (!answer) throw sourceUnavailable();
        return answer;
      }).catch((error: unknown) => {
        const wasLimited = error instanceof UnavailableError && error.retryAfterMs === limitedRetryMs;
        failed.set(what, true, wasLimited ? limitedRetryMs : refreshRetryMs);
      });
    },

    refresh: (owned) => together(`refresh ${owned.tokenHash}`, () => calls.byToken(owned)),

    refreshById: (source, id) => together(`refresh ${source.name}/${id}`, () => calls.byId(source, id)),

    close() {
      turns.close();
      unlisten();
    },
  };
}
