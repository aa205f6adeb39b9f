// Everything that actors come from, on loopback, and what a gateway needs to know of it.

import { createDemoDotcom, type DemoDotcom } from "../../src/demo/dotcom.js";
import { createDemoPortal, type DemoPortal, type DemoPortalOptions } from "../../src/demo/portal.js";
import { createDemoSams, type DemoSams } from "../../src/demo/sams.js";

export interface TestBackEnds extends AsyncDisposable {
  readonly portal: DemoPortal;
  readonly sams: DemoSams;
  readonly dotcom: DemoDotcom;
  /** The environment of a gateway that uses all of them. */
  readonly env: Readonly<Record<string, string>>;
}

/** Secrets of the gateway towards them. */
export const backEndSecrets = {
  SAMS_CLIENT_SECRET: "sams_cs_of_the_gateway",
  CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: "sgp_of_the_gateway",
} as const;

/** An Enterprise Portal that asks for tokens of an accounts service, and a Sourcegraph.com. */
export async function testBackEnds(options: DemoPortalOptions = {}): Promise<TestBackEnds> {
  const scopes = ["enterprise_portal::codyaccess::read", "enterprise_portal::subscription::read"];
  const sams = createDemoSams({
    clients: { sams_cid_gateway: { secret: backEndSecrets.SAMS_CLIENT_SECRET, scopes } },
  });
  const portal = createDemoPortal({ scopesOf: sams.scopesOf, ...options });
  const dotcom = createDemoDotcom({ accessToken: backEndSecrets.CODY_GATEWAY_DOTCOM_ACCESS_TOKEN });
  await Promise.all([sams.listen(), portal.listen(), dotcom.listen()]);
  return {
    portal,
    sams,
    dotcom,
    env: {
      ...backEndSecrets,
      CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url,
      SAMS_URL: sams.url,
      SAMS_CLIENT_ID: "sams_cid_gateway",
      CODY_GATEWAY_DOTCOM_API_URL: dotcom.apiUrl,
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([sams.close(), portal.close(), dotcom.close()]);
    },
  };
}
