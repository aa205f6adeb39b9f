import type { Clock } from "../../lib/clock.js";
import type { TokenSource } from "../../lib/oauth.js";
import { createShared } from "../../lib/shared.js";
import { createTurns } from "../../lib/turns.js";
import type { Actor } from "../actor.js";
import type { Burst } from "../burst.js";
import type { FoundActor, ListedEntry, Source } from "../source.js";
import { isLicenseToken, normaliseToken } from "../token.js";
import { NonsenseError } from "../told.js";
import { actorOf, enterpriseName, entryOf, idPrefix, type Reading } from "./enterprise-access.js";
import {
  createPortalClient,
  type PortalOptions,
  type PortalPage,
  portalService,
  trouble,
} from "./enterprise-client.js";

export interface EnterpriseOptions extends PortalOptions {
  readonly burst: Burst;
  /** Entries asked for at a time. Default 500. */
  readonly pageSize?: number;
}

/** A listing of more pages does not end. */
const maxPages = 100_000;
const coolDownMs = 600_000;
/** Most different sets of limits that are kept at hand, twice. */
const maxShared = 1_000;

/** Subscriptions as the Enterprise Portal knows them, by the tokens of their licence keys. */
export function createEnterpriseSource(
  parts: { readonly clock: Clock; readonly tokens?: TokenSource | undefined },
  options: EnterpriseOptions,
): Source {
  const { burst, pageSize = 500 } = options;
  const portal = createPortalClient(parts, options);
  const shared = createShared<Actor["features"]>(maxShared);
  const reading = (): Reading => ({ burst, shared, now: new Date(parts.clock.now()) });

  async function find(
    query: Parameters<typeof portal.get>[0],
    signal: AbortSignal,
    check: (found: FoundActor) => FoundActor = (found) => found,
  ): Promise<FoundActor | undefined> {
    const access = await portal.get(query, signal);
    try {
      return access && check(actorOf(access, reading()));
    } catch (error) {
      if (!(error instanceof NonsenseError)) throw error;
      throw trouble(`told of a subscription that makes no sense: ${error.message}`);
    }
  }

  async function* pages(
    signal: AbortSignal,
  ): AsyncGenerator<Pick<PortalPage, "entries"> & { readonly whole: boolean }> {
    const seen = new Set<string>();
    for (let token = "", count = 0; count < maxPages; count++) {
      let page = await portal.list({ size: pageSize, token }, signal);
      // Portals of today cannot page; all at once is then the only way.
      const whole = page === undefined && count === 0;
      if (whole) page = await portal.list({ size: 0, token: "" }, signal);
      if (!page) throw trouble("cannot list its subscriptions (unimplemented)");
      yield { entries: page.entries, whole: whole && page.nextPageToken === undefined };
      if (page.nextPageToken === undefined) return;
      if (seen.has(page.nextPageToken)) break;
      seen.add(page.nextPageToken);
      token = page.nextPageToken;
    }
    throw trouble("answered with a listing that does not end");
  }

  return {
    name: enterpriseName,
    kind: portalService,
    denial: "access token denied: associated product subscription not found",
    coolDownMs,
    owns: (token) => token !== undefined && isLicenseToken(normaliseToken(token)),

    async lookup(token, signal) {
      if (token === undefined) return undefined;
      const value = normaliseToken(token);
      const found = await find({ case: "accessToken", value }, signal);
      return found && { ...found, tokens: [...new Set([...(found.tokens ?? []), value])] };
    },

    async lookupId(id, signal) {
      return find({ case: "subscriptionId", value: `${idPrefix}${id}` }, signal, (found) => {
        if (found.actor.id !== id) throw new NonsenseError("it is not the one that was asked for");
        return found;
      });
    },

    async *list(signal) {
      const turns = createTurns();
      for await (const { entries, whole } of pages(signal)) {
        for (let start = 0; start < entries.length; start += pageSize) {
          const page: ListedEntry[] = [];
          for (const bytes of entries.slice(start, start + pageSize)) {
            page.push(entryOf(bytes, reading()));
            const turn = turns.next();
            if (turn) await turn;
          }
          signal.throwIfAborted();
          yield { entries: page, ...(whole && { estimatedTotal: entries.length }) };
        }
      }
    },

    close: async () => portal.close(),
  };
}
