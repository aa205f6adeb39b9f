// Everything that actors come from but for the file, on this machine: an Enterprise Portal, an accounts service, a Sourcegraph.com.

import { createDemoDotcom, type DemoDotcom } from "./dotcom.js";
import { createDemoPortal, type DemoPortal, type DemoPortalOptions } from "./portal.js";
import { createDemoSams, type DemoSams } from "./sams.js";

/** Back ends that listen. */
export interface DemoBackEnds extends AsyncDisposable {
  /** Asks for tokens of the accounts service. */
  readonly portal: DemoPortal;
  readonly sams: DemoSams;
  readonly dotcom: DemoDotcom;
  /** The environment of a gateway that uses all of them. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Secrets of the gateway towards them. */
export const demoSecrets = {
  SAMS_CLIENT_SECRET: "sams_cs_of_the_gateway",
  CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: "sgp_of_the_gateway",
} as const;

const clientId = "sams_cid_of_the_gateway";
const scopes = [
  "enterprise_portal::codyaccess::read",
  "enterprise_portal::subscription::read",
  "openid",
  "profile",
  "email",
];

/** Starts all of them on free ports, without any actors. */
export async function startDemoBackEnds(options: DemoPortalOptions = {}): Promise<DemoBackEnds> {
  const sams = createDemoSams({ clients: { [clientId]: { secret: demoSecrets.SAMS_CLIENT_SECRET, scopes } } });
  const portal = createDemoPortal({ scopesOf: sams.scopesOf, ...options });
  const dotcom = createDemoDotcom({ accessToken: demoSecrets.CODY_GATEWAY_DOTCOM_ACCESS_TOKEN });
  await Promise.all([sams.listen(), portal.listen(), dotcom.listen()]);
  const close = async (): Promise<void> => {
    await Promise.all([sams.close(), portal.close(), dotcom.close()]);
  };
  return {
    portal,
    sams,
    dotcom,
    env: {
      ...demoSecrets,
      CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url,
      SAMS_URL: sams.url,
      SAMS_CLIENT_ID: clientId,
      CODY_GATEWAY_DOTCOM_API_URL: dotcom.apiUrl,
      CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH: "true",
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
