import { GatewayError, UnauthenticatedError, UnavailableError, unknownActorId } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { Span } from "../lib/span.js";
import type { Actor, Feature } from "./actor.js";
import type { Directory, Known } from "./directory.js";
import { createFreshness, type FreshnessOptions } from "./freshness.js";
import { createJudge, type Judgement } from "./judge.js";
import { createLookups, type LookupOutcome, type Lookups } from "./lookups.js";
import { createRefreshes, type Refreshed, type RefreshQuery } from "./refresh.js";
import { createRemember } from "./remember.js";
import type { Source } from "./source.js";
import type { Answer, OwnedToken } from "./source-calls.js";
import { createSourceWatch, type SourceHealth } from "./source-health.js";
import type { ActorStore } from "./store.js";
import type { TokenHasher } from "./token.js";

/** All sources, in the order in which they are asked. */
export interface Sources {
  readonly all: readonly Source[];
  /**
   * The actor `token` belongs to. Throws `UnauthenticatedError` when it belongs to nobody, `UnavailableError` when the
   * source that owns it cannot say and nothing usable is known. `span` is told when the source has to be asked.
   */
  find(token: string | undefined, span?: Span): Promise<Actor>;
  /** Whether it is known whose `token` is, so that `find` will ask nobody. */
  knows(token: string | undefined): boolean;
  /** Whether the actor is older than it should be, and served all the same. */
  isStale(known: Known): boolean;
  /**
   * Asks the source anew for the actor that holds `token`, for that actor. Undefined: its source is never asked. Throws
   * `RecentlyRefreshedError` within the cool-down, and what `find` throws.
   */
  refreshFor(token: string | undefined): Promise<Refreshed | undefined>;
  /** The same for an operator, whatever the cool-down. Throws `SyncRefusedError` when the source cannot be asked. */
  refresh(query: RefreshQuery): Promise<Refreshed>;
  /** The actor was refused something that its source may have granted by now. */
  refused(actor: Pick<Actor, "source" | "id">): void;
  /** How the source fares with its back end, as this process sees it. */
  health(source: string): SourceHealth;
  /** Something else asked the source, and this came of it at that time, ms since the epoch. Undefined: it answered. */
  asked(source: string, error: unknown, at: number): void;
  close(): void;
}

export interface SourcesParts {
  readonly sources: readonly Source[];
  readonly store: ActorStore;
  readonly directory: Directory;
  readonly hasher: TokenHasher;
  readonly log: Log;
  /** This process, as others see it. */
  readonly process: string;
  /**
   * Whether hashes of tokens can be relied on, and it is known who is refused whatever the source says: before, no source is
   * asked but local ones. Default: always.
   */
  readonly isReady?: () => boolean;
  /** The length of a window changed, and the source promises that it then begins anew. Must not throw. */
  readonly onIntervalChanged?: (actor: Actor, feature: Feature) => void;
  /** What came of each look-up. Must not throw. */
  readonly onLookup?: (source: string, outcome: LookupOutcome) => void;
}

// Making a signal with a timer costs more than a look-up in memory.
const never = new AbortController().signal;
/** When callers may try again while the gateway is not ready. */
const notReadyRetryMs = 2_000;

export function createSources(parts: SourcesParts, options: FreshnessOptions): Sources {
  const { sources, store, directory, isReady = () => true } = parts;
  const { onIntervalChanged = () => {}, onLookup = () => {} } = parts;
  const freshness = createFreshness({ sources, directory, now: store.now }, options);
  const judge = createJudge({ ...parts, freshness });
  const watches = new Map(sources.map(({ name }) => [name, createSourceWatch(store.now)]));
  const watchOf = (source: string) => watches.get(source) ?? createSourceWatch(store.now);
  const remember = createRemember({ ...parts, onIntervalChanged }, options);
  const lookups = createLookups({ ...parts, remember, watchOf, onOutcome: onLookup });
  const refreshes = createRefreshes({ sources, directory, lookups, judge, now: store.now });

  /** What the source says, asked now. */
  function ask(owned: OwnedToken, span: Span | undefined): Promise<Actor> {
    if (!isReady()) return Promise.reject(notReady());
    const isGood = (known: Known): boolean => freshness.of(known, owned.tokenHash) !== "expired";
    const asked = span ? askTraced(lookups, owned, isGood, span) : lookups.ask(owned, isGood);
    return asked.then((answer) => {
      if (answer.kind === "nobody") throw nobody(owned.source);
      return answer.known.actor;
    });
  }

  /** What a local source says. */
  async function askLocal(source: Source, token: string | undefined): Promise<Actor> {
    const found = await source.lookup(token, never);
    if (!found) throw refusalOf({ kind: "unowned" }, token);
    return directory.effective(found.actor);
  }

  return {
    all: sources,
    find(token, span) {
      const judged = judge(token);
      if (judged.kind === "known") {
        const { owned, known, freshness: age } = judged;
        if (age === "expired") return ask(owned, span);
        if (age === "stale") lookups.refreshSoon(owned);
        else refreshes.comes(owned, known);
        return Promise.resolve(known.actor);
      }
      if (judged.kind === "local") return askLocal(judged.source, token);
      if (judged.kind === "unheard") return ask(judged.owned, span);
      return Promise.reject(refusalOf(judged, token));
    },
    knows(token) {
      const { kind } = judge(token);
      return kind === "known" || kind === "local";
    },
    isStale: (known) => freshness.of(known) !== "fresh",
    async refreshFor(token) {
      const refreshed = await refreshes.forHolder(token);
      if (refreshed && !refreshed.known) throw refusalOf(judge(token), token);
      return refreshed;
    },
    refresh: (query) => (isReady() ? refreshes.now(query) : Promise.reject(notReady())),
    refused: refreshes.wanted,
    health: (source) => watchOf(source).health(),
    asked(source, error, at) {
      if (error === undefined) watchOf(source).succeeded(at);
      else watchOf(source).failed(error);
    },
    close: lookups.close,
  };
}

async function askTraced(
  lookups: Pick<Lookups, "ask">,
  owned: OwnedToken,
  isGood: (known: Known) => boolean,
  span: Span,
): Promise<Answer> {
  const part = span.child("source.lookup", "client");
  part.set({ "cody_gateway.actor.source": owned.source.name });
  try {
    const answer = await lookups.ask(owned, isGood);
    part.set({ "cody_gateway.outcome": answer.kind === "known" ? "found" : "nobody" });
    return answer;
  } catch (error) {
    part.fail(error instanceof GatewayError ? error.reason : "INTERNAL");
    throw error;
  } finally {
    part.end();
  }
}

function notReady(): UnavailableError {
  return new UnavailableError("SOURCE_UNAVAILABLE", "the gateway is starting", notReadyRetryMs);
}

/** Why nobody is found. The texts are those that existing clients know. */
function refusalOf(judged: Judgement, token: string | undefined): UnauthenticatedError {
  if (judged.kind === "nobody") return nobody(judged.owned.source);
  if (judged.kind === "revoked") {
    const { source, known } = judged;
    const refused = { source: source.name, id: known?.actor.id ?? unknownActorId };
    return new UnauthenticatedError("TOKEN_INVALID", "access token is revoked", refused);
  }
  if (token === undefined)
    return new UnauthenticatedError("TOKEN_MISSING", "Cody Gateway access not enabled", nobodyYet);
  return new UnauthenticatedError("TOKEN_INVALID", "token not from source: no source found for token");
}

/** What usage events call who shows no token. */
const nobodyYet = { source: "anonymous", id: "anonymous" };

function nobody({ name, denial = "access token denied: nobody has it" }: Source): UnauthenticatedError {
  const message = `${name}: failed to validate access token: ${denial}`;
  return new UnauthenticatedError("TOKEN_INVALID", message, { source: name, id: unknownActorId });
}
