// What has something behind it: the sources of actors Sourcegraph.com and Enterprise Portal, and the search for attribution.

import type { Source } from "./actors/source.js";
import { createDotcomUsersSource, dotcomService } from "./actors/sources/dotcom-users.js";
import { createEnterpriseSource } from "./actors/sources/enterprise.js";
import { enterpriseName } from "./actors/sources/enterprise-access.js";
import type { Introspect } from "./auth/admin.js";
import type { Config } from "./config.js";
import type { Clock } from "./lib/clock.js";
import { createGraphqlClient, type GraphqlClient } from "./lib/graphql.js";
import { createHttpCaller, type HttpCaller, type HttpCallerOptions } from "./lib/http-caller.js";
import { clientCredentials, createTokenSource, introspect, type TokenSource } from "./lib/oauth.js";
import { type Attribution, createAttribution } from "./relay-attribution.js";

export interface BackEndParts {
  readonly clock: Clock;
  readonly version: string;
}

/** What the gateway's token for the Enterprise Portal is for. The second scope is what the existing gateway asks for too. */
const portalScopes = ["enterprise_portal::codyaccess::read", "enterprise_portal::subscription::read"];

/** What its token for introspections is for, as in the existing gateway. */
const introspectionScopes = ["openid", "profile", "email"];

/** What errors call the accounts service. */
const samsService = "SAMS";

/** Those that are configured, in the order in which they are asked. */
export function backEndSources(config: Config, parts: BackEndParts): readonly Source[] {
  return [dotcomUsers(config, parts), enterprise(config, parts)].filter((source) => source !== undefined);
}

function dotcomUsers(config: Config, parts: BackEndParts): Source | undefined {
  const { dotcom, burst } = config;
  if (!dotcom) return undefined;
  const graphql = dotcomClient(dotcom, userAgentOf(config, parts), {});
  return createDotcomUsersSource({ ...parts, graphql }, { ...dotcom, burst });
}

/** Searches take Sourcegraph.com longer than look-ups. */
const searchTimeoutMs = 30_000;

/** The search for where code stands in public; it refuses everybody where it is off. */
export function attributionSearch(config: Config, parts: Pick<BackEndParts, "version">): Attribution {
  const { dotcom, attribution } = config;
  const graphql =
    attribution && dotcom && dotcomClient(dotcom, userAgentOf(config, parts), { timeoutMs: searchTimeoutMs });
  return createAttribution({ graphql: graphql || undefined }, { source: enterpriseName });
}

function dotcomClient(
  dotcom: NonNullable<Config["dotcom"]>,
  userAgent: string,
  options: HttpCallerOptions,
): GraphqlClient {
  const caller = createHttpCaller(dotcomService, options);
  return createGraphqlClient({ caller }, { ...dotcom, service: dotcomService, userAgent });
}

function enterprise(config: Config, parts: BackEndParts): Source | undefined {
  const { enterprisePortal, devLicensesOnly, sams, burst, perUserLimits: perUser } = config;
  if (!enterprisePortal) return undefined;
  const options = { ...enterprisePortal, devLicensesOnly, burst, perUser, userAgent: userAgentOf(config, parts) };
  if (!sams) return createEnterpriseSource(parts, options);
  const caller = createHttpCaller(samsService, { userAgent: userAgentOf(config, parts) });
  const tokens = samsTokens(sams, { ...parts, caller }, portalScopes);
  const source = createEnterpriseSource({ ...parts, tokens }, options);
  return {
    ...source,
    async close() {
      await source.close?.();
      await caller.close();
    },
  };
}

/** Asks the accounts service what a token is good for. */
export interface SamsIntrospection {
  readonly introspect: Introspect;
  close(): Promise<void>;
}

/** Undefined where the gateway has no credentials there. */
export function samsIntrospection(config: Config, parts: BackEndParts): SamsIntrospection | undefined {
  const { sams } = config;
  if (!sams) return undefined;
  const caller = createHttpCaller(samsService, { userAgent: userAgentOf(config, parts) });
  const tokens = samsTokens(sams, { ...parts, caller }, introspectionScopes);
  const options = { service: samsService, introspectUrl: `${sams.url}/oauth/introspect` };
  return {
    async introspect(token) {
      const said = await introspect({ caller, tokens }, options, token);
      if (!said.active) return { active: false, scopes: [], clientId: "" };
      const { scopes, clientId, username } = said;
      return { active: true, scopes, clientId: clientId ?? username ?? "unknown" };
    },
    close: caller.close,
  };
}

/** The gateway's own tokens of the accounts service. */
function samsTokens(
  sams: NonNullable<Config["sams"]>,
  { caller, clock }: { readonly caller: HttpCaller; readonly clock: Clock },
  scopes: readonly string[],
): TokenSource {
  const ask = clientCredentials(caller, { ...sams, tokenUrl: `${sams.url}/oauth/token`, scopes });
  return createTokenSource({ ask, clock }, { service: samsService });
}

/** How the gateway names itself to whomever it calls. */
export function userAgentOf({ environment }: Config, { version }: Pick<BackEndParts, "version">): string {
  return `Cody-Gateway/${environment} ${version}`;
}
