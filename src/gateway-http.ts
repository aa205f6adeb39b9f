// The HTTP half of the composition: which routes there are.

import type { Feature } from "./actors/actor.js";
import type { Authenticator } from "./auth/authenticate.js";
import type { Config } from "./config.js";
import type { ErrorShape, HttpRoute } from "./http/http.js";
import { type SdkSurface, sdkRoutes } from "./http/sdk.js";
import { type SourcegraphRoute, sourcegraphRoutes } from "./http/sourcegraph.js";
import type { Provider } from "./providers/provider.js";
import type { Quota } from "./quota/quota.js";
import type { RelayParts } from "./relay.js";
import type { ModelDirectory } from "./relay-models.js";
import type { UpstreamTarget } from "./upstream/upstream.js";

const chatAndCode: readonly Feature[] = ["chat_completions", "code_completions"];

/** The completions routes of existing instances: a provider that is not configured has none (wire.md 1.1). */
const completions: readonly SourcegraphRoute[] = [
  {
    path: "/v1/completions/anthropic",
    upstream: "anthropic",
    label: "Anthropic",
    api: "complete",
    features: chatAndCode,
  },
  {
    path: "/v1/completions/anthropic-messages",
    upstream: "anthropic",
    label: "Anthropic",
    api: "messages",
    features: chatAndCode,
  },
  {
    path: "/v1/completions/openai",
    upstream: "openai",
    label: "OpenAI",
    api: "chat_completions",
    features: ["chat_completions"],
  },
];

export interface HttpParts {
  readonly relay: RelayParts;
  readonly quota: Quota;
  readonly authenticator: Authenticator;
  readonly models: ModelDirectory;
}

/** The routes for callers. */
export function callerRoutes(parts: HttpParts, targets: readonly UpstreamTarget[], config: Config): HttpRoute[] {
  const { maxBodyBytes, maxTokensToSample } = config;
  const served = completions.filter(({ upstream }) => targets.some(({ name }) => name === upstream));
  return [
    ...sourcegraphRoutes(parts, served, { maxBodyBytes, maxTokens: maxTokensToSample }),
    ...targets.flatMap((target) => sdkRoutes(parts, surfaceOf(target), { maxBodyBytes })),
  ];
}

function surfaceOf({ name, provider }: UpstreamTarget): SdkSurface {
  const { modelList } = provider;
  return {
    upstream: name,
    prefix: `/${name}${provider.sdkPrefix}`,
    keyHeader: Object.keys(provider.authHeaders("key"))[0] ?? "authorization",
    errors: providerErrors(provider),
    // The model is in the body of all of these, so the path is the same for each.
    apis: provider.apis.map((api) => ({ name: api.name, path: api.path("", false) })),
    models: modelList && { path: modelList.path.replace(/\?.*$/, ""), write: modelList.write },
  };
}

function providerErrors(provider: Provider): ErrorShape {
  return {
    contentType: "application/json",
    body: (error, requestId) => JSON.stringify(provider.errorBody(error, requestId)),
    streamFrame: (error) => provider.streamError(error),
  };
}
