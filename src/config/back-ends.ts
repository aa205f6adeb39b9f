// Where actors come from but for the file: the Enterprise Portal, Sourcegraph.com, and the accounts service before them.

import * as as from "./schemas.js";
import { secret, setting } from "./setting.js";
import type { BackEndsConfig, Problem } from "./types.js";

/** Their settings. */
export const backEnds = {
  enterprisePortalUrl: setting(
    "CODY_GATEWAY_ENTERPRISE_PORTAL_URL",
    as.baseUrl.optional(),
    "Enterprise Portal: turns on the actors that are Enterprise subscriptions.",
  ),
  enterprisePortalProtocol: setting(
    "CODY_GATEWAY_ENTERPRISE_PORTAL_PROTOCOL",
    as.portalProtocol.prefault("grpc"),
    "How it is spoken to: `grpc` (HTTP/2), or `connect` (HTTP/1.1) where something between lets only that through.",
  ),
  samsUrl: setting(
    "SAMS_URL",
    as.baseUrl.prefault("https://accounts.sourcegraph.com"),
    "Accounts service: gives the gateway tokens for the Enterprise Portal, and says what the tokens of administrators are good for.",
  ),
  samsApiUrl: setting("SAMS_API_URL", as.baseUrl.optional(), "Where it is called, if that is not `SAMS_URL`."),
  samsClientId: setting("SAMS_CLIENT_ID", as.text.optional(), "The gateway's name there."),
  samsClientSecret: secret("SAMS_CLIENT_SECRET", as.text.optional(), "And its secret."),
  dotcomAccessToken: secret(
    "CODY_GATEWAY_DOTCOM_ACCESS_TOKEN",
    as.headerSecret.optional(),
    "Access token for Sourcegraph.com: turns on the actors that are its users.",
  ),
  dotcomApiUrl: setting(
    "CODY_GATEWAY_DOTCOM_API_URL",
    as.baseUrl.prefault("https://sourcegraph.com/.api/graphql"),
    "Sourcegraph.com's GraphQL interface.",
  ),
  dotcomClientId: setting(
    "CODY_GATEWAY_DOTCOM_CLIENT_ID",
    as.headerSecret.optional(),
    "Sent to Sourcegraph.com as `X-Sourcegraph-Client-ID`.",
  ),
  dotcomCoolDownMs: setting(
    "CODY_GATEWAY_DOTCOM_ACTOR_COOLDOWN_INTERVAL",
    as.duration.prefault("300s"),
    "How long after its last update a user of Sourcegraph.com may not be refreshed on its own request.",
  ),
  attributionSearch: setting(
    "CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH",
    as.boolean.prefault("false"),
    "Whether Enterprise subscriptions may search Sourcegraph.com for where code stands in public. It needs the access token for Sourcegraph.com.",
  ),
  environment: setting(
    "CODY_GATEWAY_ENVIRONMENT",
    as.headerSecret.prefault("dev"),
    "Name of this deployment: in the `User-Agent` of all that the gateway calls, in the log, in usage events and in `cody_gateway_build_info`.",
  ),
  devLicensesOnly: setting(
    "CODY_GATEWAY_DEV_LICENSES_ONLY",
    as.boolean.prefault("false"),
    "Whether this deployment is for development: of the Enterprise Portal's subscriptions only those that are internal, or whose license has the tag `dev` or `internal`, have access.",
    { fallbacks: ["CODY_GATEWAY_DOTCOM_DEV_LICENSES_ONLY", "CODY_GATEWAY_DOTCOM_INTERNAL_MODE"] },
  ),
  insecureDev: setting(
    "INSECURE_DEV",
    as.boolean.prefault("false"),
    "Whether these may be called without TLS on other machines: tokens then go over the network in clear.",
  ),
};

type Values = {
  readonly [K in keyof typeof backEnds]: ReturnType<(typeof backEnds)[K]["schema"]["parse"]>;
};

/** What the settings mean together. */
export function backEndsOf(values: Values): BackEndsConfig {
  const { enterprisePortalUrl, samsClientId, samsClientSecret, dotcomAccessToken, dotcomApiUrl } = values;
  return {
    environment: values.environment,
    enterprisePortal:
      enterprisePortalUrl === undefined
        ? undefined
        : { url: enterprisePortalUrl, protocol: values.enterprisePortalProtocol },
    devLicensesOnly: values.devLicensesOnly,
    sams:
      samsClientId === undefined || samsClientSecret === undefined
        ? undefined
        : { url: samsUrlOf(values), clientId: samsClientId, clientSecret: samsClientSecret },
    attribution: values.attributionSearch,
    dotcom:
      dotcomAccessToken === undefined
        ? undefined
        : {
            apiUrl: dotcomApiUrl,
            accessToken: dotcomAccessToken,
            clientId: values.dotcomClientId,
            coolDownMs: values.dotcomCoolDownMs,
          },
  };
}

/** What is wrong with them together. */
export function checkBackEnds(values: Values): Problem[] {
  const { samsClientId, samsClientSecret, insecureDev } = values;
  const problems: Problem[] = [];
  if (samsClientId !== undefined && samsClientSecret === undefined)
    problems.push({ source: "SAMS_CLIENT_SECRET", message: "expected the secret of SAMS_CLIENT_ID" });
  if (samsClientSecret !== undefined && samsClientId === undefined)
    problems.push({ source: "SAMS_CLIENT_ID", message: "expected the client whose secret SAMS_CLIENT_SECRET is" });
  if (insecureDev) return problems;
  const { enterprisePortal, sams, dotcom } = backEndsOf(values);
  const used: readonly (readonly [source: string, url: string | undefined])[] = [
    ["CODY_GATEWAY_ENTERPRISE_PORTAL_URL", enterprisePortal?.url],
    [values.samsApiUrl === undefined ? "SAMS_URL" : "SAMS_API_URL", sams?.url],
    ["CODY_GATEWAY_DOTCOM_API_URL", dotcom?.apiUrl],
  ];
  const message = "expected an https:// URL, or one of this machine; INSECURE_DEV=true allows others";
  return [...problems, ...used.filter(([, url]) => url && isInClear(url)).map(([source]) => ({ source, message }))];
}

/** What an operator should know of them. */
export function backEndNotices(config: BackEndsConfig): string[] {
  const { enterprisePortal, devLicensesOnly, sams, attribution, dotcom } = config;
  const notices: string[] = [];
  if (attribution && !dotcom)
    notices.push("CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH: no effect without CODY_GATEWAY_DOTCOM_ACCESS_TOKEN");
  if (enterprisePortal && !sams)
    notices.push("SAMS_CLIENT_ID and SAMS_CLIENT_SECRET are not set: the Enterprise Portal is called without a token");
  if (devLicensesOnly && !enterprisePortal)
    notices.push("CODY_GATEWAY_DEV_LICENSES_ONLY: no effect without CODY_GATEWAY_ENTERPRISE_PORTAL_URL");
  return notices;
}

function samsUrlOf({ samsApiUrl, samsUrl }: Values): string {
  return samsApiUrl ?? samsUrl;
}

/** Whether what is sent there goes over a network as it is. */
export function isInClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !/^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}
