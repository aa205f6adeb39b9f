// Asking a source for one actor: as seldom as can be, for as short as can be, and in a way that nobody can make a burden.

import { UnavailableError } from "../errors.js";
import { createExpiringMap } from "../lib/expiring-map.js";
import type { Log } from "../lib/log.js";
import { within } from "../lib/within.js";
import type { Directory, Known } from "./directory.js";
import { describeFailure } from "./failure.js";
import { createLookupPermits, type LookupPurpose } from "./lookup-permits.js";
import { createLookupTurns } from "./lookup-turns.js";
import type { Remember } from "./remember.js";
import type { FoundActor, Source } from "./source.js";
import type { SourceWatch } from "./source-health.js";
import type { ActorStore } from "./store.js";

/** What a source says: an actor, or that there is none. */
export type Answer = { readonly kind: "known"; readonly known: Known } | { readonly kind: "nobody" };

/** What came of asking a source, for metrics. `limited`: it was not asked, to spare it. */
export type LookupOutcome = "found" | "nobody" | "failed" | "limited";

/** A token, the source that owns it, and the hash that stands for it. */
export interface OwnedToken {
  readonly source: Source;
  readonly token: string;
  readonly tokenHash: string;
}

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

/** A source that finds actors by their ids. */
export type LookingById = Source & Required<Pick<Source, "lookupId">>;

export interface LookupsParts {
  readonly store: ActorStore;
  readonly directory: Directory;
  readonly remember: Remember;
  readonly log: Log;
  /** This process, as others see it. */
  readonly process: string;
  readonly watchOf: (source: string) => SourceWatch;
  /** Must not throw. */
  readonly onOutcome: (source: string, outcome: LookupOutcome) => void;
}

/** Time a source has to say whose a token is. */
const lookupMs = 5_000;
/** When callers may try again: while the source fails, and when it was not asked. */
const failedRetryMs = 5_000;
const limitedRetryMs = 2_000;
/** A refresh that failed is tried again after this time. */
const refreshRetryMs = 30_000;
/** Most callers of one process that wait for look-ups. */
const maxWaiting = 2_000;
/** Most tokens of which it is remembered that asking for them failed. */
const maxFailed = 10_000;

export function createLookups(parts: LookupsParts): Lookups {
  const { store, directory, remember, log, process, watchOf, onOutcome } = parts;
  const permits = createLookupPermits(store);
  const failed = createExpiringMap<true>(() => performance.now(), maxFailed);
  const turns = createLookupTurns({
    store,
    process,
    onFailed: (tokenHash, retryAfterMs) => failed.set(tokenHash, true, retryAfterMs),
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
    if (failed.get(tokenHash) || watchOf(source.name).isPaused()) return unavailable();
    return permits.admit("cold") ? undefined : limited(source);
  }

  /** One call of the source, and its answer remembered. */
  async function call(
    source: Source,
    lookup: (signal: AbortSignal) => Promise<FoundActor | undefined>,
    whose: { readonly tokenHash?: string; readonly known?: Known },
  ): Promise<Answer> {
    const watch = watchOf(source.name);
    if (!watch.mayAsk()) throw unavailable();
    const at = store.now();
    let found: FoundActor | undefined;
    try {
      found = await within(lookupMs, lookup);
    } catch (cause) {
      watch.failed(cause);
      onOutcome(source.name, "failed");
      // Also where the store cannot pass it on.
      if (whose.tokenHash !== undefined) failed.set(whose.tokenHash, true, failedRetryMs);
      log.debug({ source: source.name, error: describeFailure(cause) }, "look-up of an actor failed");
      throw unavailable(cause);
    }
    watch.succeeded();
    onOutcome(source.name, found ? "found" : "nobody");
    if (!found) {
      await (whose.tokenHash === undefined
        ? whose.known && remember.gone(whose.known)
        : remember.nobody(whose.tokenHash));
      return { kind: "nobody" };
    }
    const { tokenHash } = whose;
    await remember.found(source, found, { at, ...(tokenHash !== undefined && { tokenHash }) });
    const known = directory.get(source.name, found.actor.id);
    if (!known) throw new Error("an actor was remembered and is not known");
    return { kind: "known", known };
  }

  const callFor = ({ source, token, tokenHash }: OwnedToken): Promise<Answer> =>
    call(source, (signal) => source.lookup(token, signal), { tokenHash });

  async function callWithPermit(owned: OwnedToken, purpose: LookupPurpose): Promise<Answer> {
    if (!(await permits.take(purpose))) throw limited(owned.source);
    return callFor(owned);
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
        if (!answer) throw unavailable();
        return answer;
      }).catch((error: unknown) => {
        const wasLimited = error instanceof UnavailableError && error.retryAfterMs === limitedRetryMs;
        failed.set(what, true, wasLimited ? limitedRetryMs : refreshRetryMs);
      });
    },

    refresh: (owned) => together(`refresh ${owned.tokenHash}`, () => callFor(owned)),

    refreshById: (source, id) =>
      together(`refresh ${source.name}/${id}`, () => {
        const known = directory.get(source.name, id);
        return call(source, (signal) => source.lookupId(id, signal), known ? { known } : {});
      }),

    close() {
      turns.close();
      unlisten();
    },
  };
}

function unavailable(cause?: unknown): UnavailableError {
  const text = "the token's source cannot be asked";
  return new UnavailableError("SOURCE_UNAVAILABLE", text, failedRetryMs, cause === undefined ? undefined : { cause });
}
