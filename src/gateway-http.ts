// The HTTP half of the composition: which routes there are.

import type { Sources } from "./actors/sources.js";
import type { Authenticator } from "./auth/authenticate.js";
import type { Config } from "./config.js";
import { attributionRoute } from "./http/attribution.js";
import { embeddingsRoutes } from "./http/embeddings.js";
import { createHeartbeats } from "./http/heartbeats.js";
import type { ErrorShape, HttpRoute } from "./http/http.js";
import { type SdkSurface, sdkRoutes } from "./http/sdk.js";
import { type SourcegraphRoute, sourcegraphRoutes } from "./http/sourcegraph.js";
import type { Provider } from "./providers/provider.js";
import type { Quota } from "./quota/quota.js";
import type { RelayParts } from "./relay.js";
import type { Attribution } from "./relay-attribution.js";
import type { ModelDirectory } from "./relay-models.js";
import type { UpstreamTarget } from "./upstream/upstream.js";

/** For both features the same API. */
const both = (api: string) => ({ chat_completions: [api], code_completions: [api] });

/** The completions routes of existing instances: a provider that is not configured has none (wire.md 1.1). */
const completions: readonly SourcegraphRoute[] = [
  {
    path: "/v1/completions/anthropic",
    upstream: "anthropic",
    label: "Anthropic",
    apis: both("complete"),
  },
  {
    path: "/v1/completions/anthropic-messages",
    upstream: "anthropic",
    label: "Anthropic",
    apis: both("messages"),
  },
  {
    path: "/v1/completions/openai",
    upstream: "openai",
    label: "OpenAI",
    apis: { chat_completions: ["chat_completions"] },
  },
  {
    path: "/v1/completions/fireworks",
    upstream: "fireworks",
    label: "Fireworks",
    // Code completions by chat models have messages and no prompt.
    apis: {
      chat_completions: ["chat_completions", "completions"],
      code_completions: ["completions", "chat_completions"],
    },
    passHeaders: { "x-fireworks-genie": "true" },
  },
  {
    path: "/v1/completions/google",
    upstream: "google",
    label: "Google",
    apis: both("generate_content"),
  },
];

export interface HttpParts {
  readonly relay: RelayParts;
  readonly quota: Quota;
  readonly authenticator: Authenticator;
  readonly sources: Sources;
  readonly models: ModelDirectory;
  readonly attribution: Attribution;
}

/** The routes for callers. */
export function callerRoutes(given: HttpParts, targets: readonly UpstreamTarget[], config: Config): HttpRoute[] {
  const { maxBodyBytes, maxTokensToSample } = config;
  const parts = { ...given, heartbeats: createHeartbeats({ everyMs: config.streamHeartbeatMs }) };
  const served = completions.filter(({ upstream }) => targets.some(({ name }) => name === upstream));
  return [
    ...sourcegraphRoutes(parts, served, { maxBodyBytes, maxTokens: maxTokensToSample }),
    attributionRoute(parts),
    ...(targets.some(embeds) ? embeddingsRoutes(parts, { maxBodyBytes }) : []),
    ...targets.flatMap((target) => sdkRoutes(parts, surfaceOf(target), { maxBodyBytes })),
  ];
}

function embeds({ provider }: UpstreamTarget): boolean {
  return provider.apis.some(({ feature }) => feature === "embeddings");
}

function surfaceOf({ name, provider }: UpstreamTarget): SdkSurface {
  const { modelList } = provider;
  return {
    upstream: name,
    prefix: `/${name}${provider.sdkPrefix}`,
    keyHeader: Object.keys(provider.authHeaders("key"))[0] ?? "authorization",
    keyParameter: provider.keyParameter,
    errors: providerErrors(provider),
    apis: provider.apis
      .filter(({ inner }) => !inner)
      .map(({ name: api, paths, feature }) => ({ name: api, paths, feature: feature ?? "chat_completions" })),
    models: modelList && {
      paths: [modelList.path.replace(/\?.*$/, ""), ...(modelList.alsoAt ?? [])],
      write: modelList.write,
    },
  };
}

function providerErrors(provider: Provider): ErrorShape {
  return {
    contentType: "application/json",
    body: (error, requestId) => JSON.stringify(provider.errorBody(error, requestId)),
    streamFrame: (error) => provider.streamError(error),
  };
}
