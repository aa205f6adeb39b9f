import type { CodyGatewayAccess } from "../../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import type { Clock } from "../../lib/clock.js";
import type { TokenSource } from "../../lib/oauth.js";
import { createShared } from "../../lib/shared.js";
import type { Actor } from "../actor.js";
import type { Burst } from "../burst.js";
import type { FoundActor, ListedEntry, Source } from "../source.js";
import { isLicenseToken, normaliseToken } from "../token.js";
import { NonsenseError } from "../told.js";
import { actorOf, enterpriseName, entryOf, idPrefix, type Reading } from "./enterprise-access.js";
import { createPortalClient, type PortalOptions, type PortalPart } from "./enterprise-client.js";
import { portalService, trouble } from "./enterprise-errors.js";
import { createDevLicenses } from "./enterprise-licenses.js";
import { portalPages } from "./enterprise-pages.js";

export interface EnterpriseOptions extends PortalOptions {
  readonly burst: Burst;
  /** See `Reading`. Default none. */
  readonly perUser?: Reading["perUser"];
  /** Entries asked for at a time. Default 500. */
  readonly pageSize?: number;
  /** Whether only subscriptions for development have access: see `DevLicenses`. Default false. */
  readonly devLicensesOnly?: boolean;
}

const coolDownMs = 600_000;
/** Most different sets of limits that are kept at hand, twice. */
const maxShared = 1_000;

/** Subscriptions as the Enterprise Portal knows them, by the tokens of their licence keys. */
export function createEnterpriseSource(
  parts: { readonly clock: Clock; readonly tokens?: TokenSource | undefined },
  options: EnterpriseOptions,
): Source {
  const { burst, perUser = {}, pageSize = 500, devLicensesOnly = false } = options;
  const portal = createPortalClient(parts, options);
  const shared = createShared<Actor["features"]>(maxShared);
  const reading = (): Reading => ({ burst, perUser, shared, now: new Date(parts.clock.now()) });
  const licenses = devLicensesOnly ? createDevLicenses({ ...parts, portal }, { pageSize }) : undefined;

  /** Whether it may be served here; undefined where that is not asked. */
  async function admission(
    { enabled, subscriptionId }: CodyGatewayAccess,
    signal: AbortSignal,
  ): Promise<Reading["admits"]> {
    if (!licenses || !enabled) return undefined;
    const admitted = await licenses.of(subscriptionId, signal);
    return () => admitted;
  }

  async function find(
    query: Parameters<typeof portal.get>[0],
    signal: AbortSignal,
    check: (found: FoundActor) => FoundActor = (found) => found,
  ): Promise<FoundActor | undefined> {
    const access = await portal.get(query, signal);
    const admits = access && (await admission(access, signal));
    try {
      return access && check(actorOf(access, { ...reading(), admits }));
    } catch (error) {
      if (!(error instanceof NonsenseError)) throw error;
      throw trouble(`told of a subscription that makes no sense: ${error.message}`, { ofActor: true });
    }
  }

  function* decoded(entries: PortalPart["entries"], admits: Reading["admits"]): Generator<ListedEntry> {
    const how = { ...reading(), admits };
    for (const bytes of entries) yield entryOf(bytes, how);
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
      const admits = licenses && (yield* licenses.ofAll(signal));
      for await (const entries of portalPages(portal.list, pageSize, signal)) {
        for (let start = 0; start < entries.length; start += pageSize) {
          signal.throwIfAborted();
          yield { entries: decoded(entries.slice(start, start + pageSize), admits) };
        }
      }
    },

    close: async () => portal.close(),
  };
}
