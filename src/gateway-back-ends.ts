// The sources of actors that have something behind them: Sourcegraph.com and the Enterprise Portal.

import type { Source } from "./actors/source.js";
import { createDotcomUsersSource, dotcomService } from "./actors/sources/dotcom-users.js";
import { createEnterpriseSource } from "./actors/sources/enterprise.js";
import type { Config } from "./config.js";
import type { Clock } from "./lib/clock.js";
import { createHttpCaller } from "./lib/http-caller.js";
import { createTokenSource } from "./lib/oauth.js";

export interface BackEndParts {
  readonly clock: Clock;
  readonly version: string;
}

/** What the gateway's token for the Enterprise Portal is for. The second scope is what the existing gateway asks for too. */
const portalScopes = ["enterprise_portal::codyaccess::read", "enterprise_portal::subscription::read"];

/** Those that are configured, in the order in which they are asked. */
export function backEndSources(config: Config, parts: BackEndParts): readonly Source[] {
  return [dotcomUsers(config, parts), enterprise(config, parts)].filter((source) => source !== undefined);
}

function dotcomUsers(config: Config, parts: BackEndParts): Source | undefined {
  const { dotcom, burst } = config;
  if (!dotcom) return undefined;
  const caller = createHttpCaller(dotcomService);
  return createDotcomUsersSource({ ...parts, caller }, { ...dotcom, burst, userAgent: userAgentOf(config, parts) });
}

function enterprise(config: Config, parts: BackEndParts): Source | undefined {
  const { enterprisePortal, sams, burst } = config;
  if (!enterprisePortal) return undefined;
  const options = { ...enterprisePortal, burst, userAgent: userAgentOf(config, parts) };
  if (!sams) return createEnterpriseSource(parts, options);
  const service = "SAMS";
  const caller = createHttpCaller(service);
  const credentials = { ...sams, service, tokenUrl: `${sams.url}/oauth/token`, scopes: portalScopes };
  const source = createEnterpriseSource(
    { ...parts, tokens: createTokenSource({ ...parts, caller }, credentials) },
    options,
  );
  return {
    ...source,
    async close() {
      await source.close?.();
      await caller.close();
    },
  };
}

function userAgentOf({ environment }: Config, { version }: BackEndParts): string {
  return `Cody-Gateway/${environment} ${version}`;
}
