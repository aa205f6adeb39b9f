import { createHash } from "node:crypto";
import type { Client } from "@connectrpc/connect";
import type { ActorAdminService } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { createAdminClient } from "../../src/client.js";

export const viewerToken = "cga_token-of-the-viewer-bob";
export const operatorToken = "cga_token-of-the-operator-ada";

const sha256 = (token: string): string => createHash("sha256").update(token).digest("hex");

/** `CODY_GATEWAY_ADMIN_TOKENS` with a viewer, bob, and an operator, ada. */
export const adminTokens = `bob:viewer:${sha256(viewerToken)},ada:operator:${sha256(operatorToken)}`;

export function adminOf(gateway: { readonly url: string }, token = operatorToken): Client<typeof ActorAdminService> {
  return createAdminClient({ baseUrl: gateway.url, token, maxRetries: 0 });
}
