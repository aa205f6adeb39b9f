// Asking a source anew for an actor that is known: because its holder, an operator or a refusal wants it.

import { RecentlyRefreshedError, SyncRefusedError } from "../errors.js";
import { createExpiringMap } from "../lib/expiring-map.js";
import type { Actor } from "./actor.js";
import { differenceOf } from "./actor-difference.js";
import type { Directory, Known } from "./directory.js";
import type { Judge } from "./judge.js";
import type { Lookups } from "./lookups.js";
import type { Source } from "./source.js";
import type { LookingById, OwnedToken } from "./source-calls.js";
import { isToCome } from "./to-come.js";

/** What a refresh brought. */
export interface Refreshed {
  /** The actor as its source now tells; undefined when it has none any more. */
  readonly known: Known | undefined;
  /** Whether the source told anything new. */
  readonly changed: boolean;
}

/** Which actor. */
export type RefreshQuery = { readonly token: string } | Pick<Actor, "source" | "id">;

export interface Refreshes {
  /** For the actor itself: not within the cool-down, and nothing where the source is never asked. */
  forHolder(token: string | undefined): Promise<Refreshed | undefined>;
  /** For an operator: always. */
  now(query: RefreshQuery): Promise<Refreshed>;
  /** The actor was refused something: it may have more by now. It is asked for when it comes again. */
  wanted(actor: Pick<Actor, "source" | "id">): void;
  /** The actor comes: asks for it when that is wanted. */
  comes(owned: OwnedToken, known: Known): void;
}

export interface RefreshesParts {
  readonly sources: readonly Source[];
  readonly directory: Pick<Directory, "get">;
  readonly lookups: Lookups;
  readonly judge: Judge;
  readonly now: () => number;
}

/** How long and of how many actors it is remembered that they were refused something. */
const wantedMs = 600_000;
const maxWanted = 10_000;

export function createRefreshes({ sources, directory, lookups, judge, now }: RefreshesParts): Refreshes {
  const wanted = createExpiringMap<true>(now, maxWanted);

  function coolDownLeft({ coolDownMs = 0 }: Source, { told }: Known): number {
    const updatedAt = told.updatedAt.getTime();
    return isToCome(updatedAt, now()) ? 0 : updatedAt + coolDownMs - now();
  }

  async function refresh(known: Known | undefined, ask: () => ReturnType<Lookups["refresh"]>): Promise<Refreshed> {
    const answer = await ask();
    if (answer.kind === "nobody") return { known: undefined, changed: known !== undefined };
    return { known: answer.known, changed: !known || differs(known, answer.known) };
  }

  return {
    async forHolder(token) {
      const judged = judge(token);
      if (judged.kind !== "known") return undefined;
      const { owned, known } = judged;
      const leftMs = coolDownLeft(owned.source, known);
      if (leftMs > 0) throw new RecentlyRefreshedError(leftMs);
      return refresh(known, () => lookups.refresh(owned));
    },

    async now(query) {
      if ("token" in query) {
        const judged = judge(query.token);
        if (!("owned" in judged)) throw notSupported(judged.kind === "local" ? judged.source.name : "");
        const { owned } = judged;
        return refresh(judged.kind === "known" ? judged.known : undefined, () => lookups.refresh(owned));
      }
      const source = sources.find(({ name }) => name === query.source);
      if (!source || !canLookUpById(source)) throw notSupported(query.source);
      const known = directory.get(query.source, query.id);
      return refresh(known, () => lookups.refreshById(source, query.id));
    },

    wanted: ({ source, id }) => wanted.set(`${source}/${id}`, true, wantedMs),

    comes(owned, known) {
      const key = `${known.source}/${known.id}`;
      if (!wanted.get(key) || coolDownLeft(owned.source, known) > 0) return;
      wanted.delete(key);
      lookups.refreshSoon(owned);
    },
  };
}

function canLookUpById(source: Source): source is LookingById {
  return source.lookupId !== undefined;
}

function notSupported(source: string): SyncRefusedError {
  return new SyncRefusedError("SYNC_NOT_SUPPORTED", "source cannot be asked for this actor again", source);
}

function differs(before: Known, after: Known): boolean {
  const [was, is] = [before, after].map(({ told, tokenHashes }) => ({ actor: told, tokenHashes }));
  return differenceOf(was as NonNullable<typeof was>, is as NonNullable<typeof is>) !== undefined;
}
