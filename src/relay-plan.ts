// What a request asks for, where it goes and what it may cost: decided before anything is held or sent.

import { FeatureNotGrantedError, InvalidRequestError, UpstreamError } from "./errors.js";
import { type JsonObject, scanJsonObject } from "./lib/json.js";
import type { Catalogue, Route } from "./models/catalogue.js";
import { microdollars } from "./models/prices.js";
import { estimateTokens } from "./models/tokens.js";
import { pathFor, upstreamPath } from "./providers/paths.js";
import type { Api, ApiPath, Provider, Usage } from "./providers/provider.js";
import type { CompleteRequest, TypedApi } from "./providers/typed.js";
import type { QuotaRequest } from "./quota/quota.js";
import type { RelayRequest } from "./relay.js";
import { batchOf, type EmbedAsk, planEmbed, scanned } from "./relay-embed-plan.js";
import type { UpstreamRequest, Upstreams } from "./upstream/upstream.js";
import type { EventStart } from "./usage/event.js";

export type { ApiPath };

/** What the caller sent. */
export type Ask = NativeAsk | TypedAsk | CountAsk | EmbedAsk;

/** A provider's own body, for a fixed upstream. */
export interface NativeAsk {
  readonly kind: "native";
  readonly upstream: string;
  /** Names of the APIs that the body may be for: it is for the first that takes such a body. */
  readonly apis: readonly string[];
  /** The path that was called, and the model that it named; undefined: the body says all. */
  readonly called: { readonly at: ApiPath; readonly model: string | undefined } | undefined;
  readonly body: JsonObject;
  /** The caller's headers, lower case: those that the API passes on are used. */
  readonly headers: UpstreamRequest["headers"];
  /** Identifies the end user to the provider; undefined leaves what the body says. */
  readonly endUser: string | undefined;
  /** Set on the routes of existing Sourcegraph instances (`Rewrite.sourcegraph`). */
  readonly sourcegraph: { readonly maxTokens: number } | undefined;
}

/** A provider-neutral request, translated once it is known where it goes. */
export interface TypedAsk {
  readonly kind: "typed";
  readonly request: CompleteRequest;
  readonly stream: boolean;
  /** Who of the actor's users asks, as the caller says; may be empty. */
  readonly endUser: string;
}

/** The input tokens of a provider-neutral request, counted. */
export interface CountAsk {
  readonly kind: "count";
  readonly request: CompleteRequest;
}

/** What planning needs to know. */
export interface Planner {
  readonly catalogue: Catalogue;
  /** The models that make embeddings. */
  readonly embeddings: Catalogue;
  readonly upstreams: Pick<Upstreams, "provider">;
}

/** A request that may be made, and how. */
export interface Plan {
  readonly route: Route;
  readonly provider: Provider;
  /** What is reserved; undefined for what is free. */
  readonly quota: QuotaRequest | undefined;
  readonly upstream: UpstreamRequest;
  /** The model as the caller named it. */
  readonly asked: string;
}

/** Throws a `GatewayError` when the actor may not have this, or the request is wrong. */
export function planOf(planner: Planner, request: RelayRequest): Plan {
  const access = request.actor.features[request.feature];
  if (!access) throw new FeatureNotGrantedError(request.feature);
  const { ask } = request;
  if (ask.kind === "native") return planNative(planner, request, ask, access.models);
  if (ask.kind === "embed") return plan({ request, ...planEmbed(planner, request.actor, ask, access.models) });
  if (ask.kind === "typed") return planTyped(planner, request, ask, access.models);
  return planCount(planner, request, ask, access.models);
}

function planNative(planner: Planner, request: RelayRequest, ask: NativeAsk, allowed: readonly string[]): Plan {
  const provider = planner.upstreams.provider(ask.upstream);
  const api = nativeApi(provider, ask);
  const { at, model } = ask.called ?? {};
  const asked = api.read(ask.body, { model, stream: at?.stream });
  if (asked.model === undefined) throw new InvalidRequestError("model is required", "model");
  const { upstream, endUser, sourcegraph } = ask;
  const catalogue = api.feature === "embeddings" ? planner.embeddings : planner.catalogue;
  const route = catalogue.resolve({ model: asked.model, upstream, allowed, languageId: asked.languageId });
  const body = ask.body.with(api.rewrite(ask.body, { model: route.model, endUser, sourcegraph }));
  const unasked = api.unasked?.(ask.body);
  const { stream } = asked;
  const called = { asked: asked.model, given: ask.body, stream };
  const batch = api.feature === "embeddings" ? batchOf(api, scanned(ask.body, body), undefined) : undefined;
  return plan({ request, route, provider, api, at, body, batch, unasked, ...called, headers: ask.headers });
}

function nativeApi(provider: Provider, { apis, body }: NativeAsk): Api {
  const known = apis.flatMap((name) => provider.apis.find((api) => api.name === name) ?? []);
  const api = known.find(({ takes }) => takes === undefined || takes(body)) ?? known[0];
  if (!api) throw new InvalidRequestError(`${provider.kind} has no ${apis.join(", ")} API`);
  return api;
}

function planTyped(planner: Planner, request: RelayRequest, ask: TypedAsk, allowed: readonly string[]): Plan {
  const route = typedRoute(planner, ask.request, allowed);
  const provider = planner.upstreams.provider(route.upstream);
  const api = typedApi(provider, ask.request, route.model);
  const encoded = scanJsonObject(Buffer.from(JSON.stringify(api.typed.encode(ask.request, route.model, ask.stream))));
  // Whatever `provider_options` said: the end user is the gateway's to name.
  const endUser = `${request.actor.id}:${ask.endUser}`;
  const body = encoded.with(api.rewrite(encoded, { model: route.model, endUser, sourcegraph: undefined }));
  const called = { asked: ask.request.model, given: encoded, stream: ask.stream };
  return plan({ request, route, provider, api, at: undefined, body, unasked: undefined, ...called, headers: {} });
}

function typedRoute({ catalogue }: Planner, { model, input }: CompleteRequest, allowed: readonly string[]): Route {
  const languageId = input.case === "prompt" ? input.value.languageId : undefined;
  return catalogue.resolve({ model, allowed, languageId });
}

/** By the provider's own counting where it has such for this input, else for `countHere`. */
function planCount(
  planner: Planner,
  request: RelayRequest,
  { request: asked }: CountAsk,
  allowed: readonly string[],
): Plan {
  const route = typedRoute(planner, asked, allowed);
  const provider = planner.upstreams.provider(route.upstream);
  const own = asked.input.case === "chat" ? provider.apis.find(({ count }) => count !== undefined) : undefined;
  const api = own ?? { ...typedApi(provider, asked, route.model), free: true as const };
  const encoded = own?.count?.encode(asked, route.model) ?? api.typed?.encode(asked, route.model, false);
  const body = Buffer.from(JSON.stringify(encoded));
  const called = { asked: asked.model, stream: false };
  return plan({ request, route, provider, api, at: undefined, body, unasked: undefined, ...called, headers: {} });
}

/** The API that the typed RPCs use for this request to this provider. Throws `InvalidRequestError` when there is none. */
export function typedApi(
  provider: Provider,
  request: CompleteRequest,
  model: string,
): Api & { readonly typed: TypedApi } {
  const apis = provider.apis.filter(isTyped);
  // Where none takes it, the first one says why not.
  const api = apis.find(({ typed }) => typed.takes === undefined || typed.takes(request, model)) ?? apis[0];
  if (!api) throw new InvalidRequestError(`${provider.kind} models have no typed API`, "model");
  return api;
}

function isTyped(api: Api): api is Api & { readonly typed: TypedApi } {
  return api.typed !== undefined;
}

/** What a plan is made of. */
export interface PlanParts {
  readonly request: RelayRequest;
  readonly asked: string;
  readonly route: Route;
  readonly provider: Provider;
  readonly api: Api;
  /** Undefined: as the API itself has it. */
  readonly at: ApiPath | undefined;
  readonly body: Buffer;
  /** The body before it was edited, scanned; undefined: it was not. */
  readonly given?: JsonObject;
  readonly unasked: UpstreamRequest["unasked"];
  readonly batch?: UpstreamRequest["batch"] | undefined;
  readonly stream: boolean;
  readonly headers: UpstreamRequest["headers"];
}

function plan(parts: PlanParts): Plan {
  const { request, route, api, body, stream } = parts;
  return {
    asked: parts.asked,
    route,
    provider: parts.provider,
    quota: api.free ? undefined : quotaRequest(parts),
    upstream: {
      upstream: route.upstream,
      api,
      path: upstreamPath(parts.at ?? pathFor(api, stream), route.model),
      model: route.model,
      stream,
      body,
      unasked: parts.unasked,
      headers: parts.headers,
      ...times(request, stream),
      ...(parts.batch && { batch: parts.batch }),
    },
  };
}

/** When the caller's time is over. An answer that is no stream begins when it is whole. */
function times(request: RelayRequest, stream: boolean): Pick<UpstreamRequest, "endBy" | "beginBy"> {
  const { arrivedAt, timeoutMs, beginMs } = request;
  const endMs = stream ? timeoutMs : (timeoutMs ?? beginMs);
  return {
    endBy: endMs === undefined ? undefined : arrivedAt + endMs,
    beginBy: beginMs === undefined ? undefined : arrivedAt + beginMs,
  };
}

/** Throws when the caller's time is over: nobody waits for the answer any more. */
export function checkTime({ upstream, route }: Plan): void {
  const { endBy, beginBy } = upstream;
  if (endBy === undefined && beginBy === undefined) return;
  const now = performance.now();
  if ((endBy !== undefined && now >= endBy) || (beginBy !== undefined && now >= beginBy))
    throw new UpstreamError("DEADLINE_EXCEEDED", "request timed out", { upstream: route.upstream });
}

function quotaRequest({ request, route, provider, api, body, given, stream }: PlanParts): QuotaRequest {
  return {
    requestId: request.id,
    actor: request.actor,
    feature: request.feature,
    model: route.name,
    estimate() {
      // The body as it is sent: the estimate sees what the upstream sees.
      const sent = body === given?.bytes ? given : scanJsonObject(body);
      return { promptTokens: estimateTokens(api.prompt(sent)), maxOutputTokens: api.read(sent, {}).maxOutputTokens };
    },
    price: (usage) => priceOf(route, usage),
    intent: () => JSON.stringify(eventStart(request, { route, provider, upstream: { stream } })),
  };
}

/** What that usage costs, in microdollars; undefined when the model has no price. */
export function priceOf(route: Route, usage: Usage): number | undefined {
  return route.prices && microdollars(usage, route.prices);
}

/** `planned` undefined: it was refused before it was known where it would go. */
export function eventStart(
  request: RelayRequest,
  planned: (Pick<Plan, "route" | "provider"> & { readonly upstream: Pick<UpstreamRequest, "stream"> }) | undefined,
): EventStart {
  const ageMs = performance.now() - request.arrivedAt;
  return {
    id: request.id,
    time: new Date(Date.now() - ageMs).toISOString(),
    trace_id: request.traceId,
    environment: request.environment,
    actor: { id: request.actor.id, source: request.actor.source },
    endUser: request.endUser,
    feature: request.feature,
    model: planned?.route.name,
    provider: planned?.provider.kind,
    upstream: planned?.route.upstream,
    edge: request.edge,
    stream: planned?.upstream.stream ?? false,
  };
}
