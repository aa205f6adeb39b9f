// One call of a source for one actor, and its answer remembered.

import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import { within } from "../lib/within.js";
import type { Directory, Known } from "./directory.js";
import { describeFailure } from "./failure.js";
import type { Remember } from "./remember.js";
import { type FoundActor, type Source, SourceError } from "./source.js";
import type { SourceWatch } from "./source-health.js";
import type { ActorStore } from "./store.js";

/** What a source says: an actor, or that there is none. */
export type Answer = { readonly kind: "known"; readonly known: Known } | { readonly kind: "nobody" };

/** A token, the source that owns it, and the hash that stands for it. */
export interface OwnedToken {
  readonly source: Source;
  readonly token: string;
  readonly tokenHash: string;
}

/** A source that finds actors by their ids. */
export type LookingById = Source & Required<Pick<Source, "lookupId">>;

/** Both throw `UnavailableError` when the source cannot say, also because it failed so often that it is left alone. */
export interface SourceCalls {
  byToken(owned: OwnedToken): Promise<Answer>;
  byId(source: LookingById, id: string): Promise<Answer>;
}

export interface SourceCallsParts {
  readonly store: Pick<ActorStore, "now">;
  readonly directory: Directory;
  readonly remember: Remember;
  readonly log: Pick<Log, "debug">;
  readonly watchOf: (source: string) => SourceWatch;
  /** What came of a call. Must not throw. */
  readonly onOutcome: (source: string, outcome: "found" | "nobody" | "failed") => void;
  /** The source could not say whose this token is. Must not throw. */
  readonly onFailed: (tokenHash: string) => void;
}

/** Time a source has to say whose a token is. */
const lookupMs = 5_000;
/** When callers may try again while the source fails. */
export const failedRetryMs = 5_000;

/** Asks at once; whether it should be asked is for others to say. */
export function createSourceCalls(parts: SourceCallsParts): SourceCalls {
  const { store, directory, remember, log, watchOf, onOutcome, onFailed } = parts;

  async function call(
    source: Source,
    lookup: (signal: AbortSignal) => Promise<FoundActor | undefined>,
    whose: { readonly tokenHash?: string; readonly known?: Known },
  ): Promise<Answer> {
    const watch = watchOf(source.name);
    if (!watch.mayAsk()) throw sourceUnavailable();
    const at = store.now();
    let found: FoundActor | undefined;
    try {
      found = await within(lookupMs, lookup);
    } catch (cause) {
      if (cause instanceof SourceError && cause.ofActor) watch.succeeded();
      else watch.failed(cause);
      onOutcome(source.name, "failed");
      // Also where the store cannot pass it on.
      if (whose.tokenHash !== undefined) onFailed(whose.tokenHash);
      log.debug({ source: source.name, error: describeFailure(cause) }, "look-up of an actor failed");
      throw sourceUnavailable(cause);
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
    // A sync or another process has removed it in between.
    if (!known) throw sourceUnavailable();
    return { kind: "known", known };
  }

  return {
    byToken: ({ source, token, tokenHash }) => call(source, (signal) => source.lookup(token, signal), { tokenHash }),
    byId(source, id) {
      const known = directory.get(source.name, id);
      return call(source, (signal) => source.lookupId(id, signal), known ? { known } : {});
    },
  };
}

/** Nobody knows for now whose a token is. */
export function sourceUnavailable(cause?: unknown): UnavailableError {
  const text = "the token's source cannot be asked";
  return new UnavailableError("SOURCE_UNAVAILABLE", text, failedRetryMs, cause === undefined ? undefined : { cause });
}
