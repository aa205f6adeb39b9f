// What a request asks for, where it goes and what it may cost: decided before anything is held or sent.

import { FeatureNotGrantedError, InvalidRequestError, UpstreamError } from "./errors.js";
import { isoTime } from "./lib/iso-time.js";
import { type JsonObject, scanJsonObject } from "./lib/json.js";
import type { Catalogue, Route } from "./models/catalogue.js";
import { microdollars } from "./models/prices.js";
import { estimateTokens, tokensOfSize } from "./models/tokens.js";
import { textSizeOf } from "./providers/long-prompts.js";
import { pathFor, upstreamPath } from "./providers/paths.js";
import type { Api, ApiPath, Provider, Usage } from "./providers/provider.js";
import type { CompleteRequest, TypedApi } from "./providers/typed.js";
import type { QuotaRequest } from "./quota/quota.js";
import type { RelayRequest } from "./relay.js";
import type { CountAsk, NativeAsk, TypedAsk } from "./relay-ask.js";
import { batchOf, planEmbed, scanned } from "./relay-embed-plan.js";
import type { UpstreamRequest, Upstreams } from "./upstream/upstream.js";
import type { EventStart } from "./usage/event.js";

export type { ApiPath };

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
  /** Models that may take over when this one fails, in order. */
  readonly others: readonly Route[];
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
  const { upstream } = ask;
  const embeds = api.feature === "embeddings";
  const catalogue = embeds ? planner.embeddings : planner.catalogue;
  const found = catalogue.resolve({ model: asked.model, upstream, allowed, languageId: asked.languageId });
  const { route } = found;
  // Vectors of different models cannot be compared: none stands in for another.
  const others = embeds ? [] : alike(planner, provider, api, found.others);
  return nativeTo({ request, ask, route, others, provider, api, asked: asked.model, stream: asked.stream });
}

type NativeTo = Pick<PlanParts, "request" | "route" | "others" | "provider" | "api" | "asked" | "stream"> & {
  readonly ask: NativeAsk;
};

function nativeTo({ request, ask, route, others, provider, api, asked, stream }: NativeTo): Plan {
  const { endUser, sourcegraph } = ask;
  const body = ask.body.with(api.rewrite(ask.body, { model: route.model, endUser, sourcegraph }));
  const unasked = api.unasked?.(ask.body);
  const batch = api.feature === "embeddings" ? batchOf(api, scanned(ask.body, body), undefined) : undefined;
  return plan({
    request,
    asked,
    route,
    others,
    provider,
    api,
    at: ask.called?.at,
    body,
    given: ask.body,
    unasked,
    batch,
    stream,
    headers: ask.headers,
  });
}

/** Those of the routes whose upstream takes the body as it is. */
function alike(planner: Planner, provider: Provider, api: Api, routes: readonly Route[]): readonly Route[] {
  return routes.length === 0 ? routes : routes.filter((route) => alikeApi(planner, provider, api, route));
}

/** The API of the route's upstream that takes the same bodies and answers alike; undefined: it speaks another language. */
function alikeApi({ upstreams }: Planner, provider: Provider, api: Api, route: Route): Api | undefined {
  const other = upstreams.provider(route.upstream);
  // Providers of one family have their errors in common.
  if (other.errorBody !== provider.errorBody) return undefined;
  return other.apis.find(({ name }) => name === api.name);
}

/**
 * The plan with another model in place of its own; undefined where its upstream cannot take the request. What was reserved
 * stays as it is.
 */
export function planOther(planner: Planner, request: RelayRequest, first: Plan, route: Route): Plan | undefined {
  const { ask } = request;
  const { asked, quota } = first;
  const { stream } = first.upstream;
  const provider = planner.upstreams.provider(route.upstream);
  try {
    if (ask.kind === "native") {
      const api = alikeApi(planner, first.provider, first.upstream.api, route);
      return api && { ...nativeTo({ request, ask, route, others: [], provider, api, asked, stream }), quota };
    }
    return ask.kind === "typed" ? { ...typedTo(planner, request, ask, { route, others: [] }), quota } : undefined;
  } catch (error) {
    // What the caller asks for and this model cannot do.
    if (error instanceof InvalidRequestError) return undefined;
    throw error;
  }
}

function nativeApi(provider: Provider, { apis, body }: NativeAsk): Api {
  let first: Api | undefined;
  for (const name of apis) {
    const api = provider.apis.find((each) => each.name === name);
    if (api === undefined) continue;
    if (api.takes === undefined || api.takes(body)) return api;
    first ??= api;
  }
  if (!first) throw new InvalidRequestError(`${provider.kind} has no ${apis.join(", ")} API`);
  return first;
}

function planTyped(planner: Planner, request: RelayRequest, ask: TypedAsk, allowed: readonly string[]): Plan {
  return typedTo(planner, request, ask, typedRoute(planner, ask.request, allowed));
}

function typedTo(planner: Planner, request: RelayRequest, ask: TypedAsk, to: Pick<Plan, "route" | "others">): Plan {
  const { route } = to;
  const provider = planner.upstreams.provider(route.upstream);
  const api = typedApi(provider, ask.request, route.model);
  const encoded = scanJsonObject(Buffer.from(JSON.stringify(api.typed.encode(ask.request, route.model, ask.stream))));
  // Whatever `provider_options` said: the end user is the gateway's to name.
  const endUser = `${request.actor.id}:${ask.endUser}`;
  const body = encoded.with(api.rewrite(encoded, { model: route.model, endUser, sourcegraph: undefined }));
  return plan({
    request,
    asked: ask.request.model,
    route,
    others: to.others,
    provider,
    api,
    at: undefined,
    body,
    given: encoded,
    unasked: undefined,
    batch: undefined,
    stream: ask.stream,
    headers: {},
  });
}

function typedRoute({ catalogue }: Planner, { model, input }: CompleteRequest, allowed: readonly string[]) {
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
  const { route } = typedRoute(planner, asked, allowed);
  const provider = planner.upstreams.provider(route.upstream);
  const own = asked.input.case === "chat" ? provider.apis.find(({ count }) => count !== undefined) : undefined;
  const api = own ?? { ...typedApi(provider, asked, route.model), free: true as const };
  const encoded = own?.count?.encode(asked, route.model) ?? api.typed?.encode(asked, route.model, false);
  const body = Buffer.from(JSON.stringify(encoded));
  const called = { asked: asked.model, stream: false };
  const to = { route, others: [], provider, api, at: undefined };
  return plan({ request, ...to, body, unasked: undefined, ...called, headers: {} });
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
  readonly others: readonly Route[];
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
    others: parts.others,
    provider: parts.provider,
    quota: api.free ? undefined : quotaRequest(parts),
    upstream: {
      upstream: route.upstream,
      api,
      path: upstreamPath(parts.at ?? pathFor(api, stream), route.model),
      model: route.model,
      span: request.span,
      stream,
      body,
      unasked: parts.unasked,
      headers: parts.headers,
      // An answer that is no stream begins when it is whole.
      endBy: byThen(request, stream ? request.timeoutMs : (request.timeoutMs ?? request.beginMs)),
      beginBy: byThen(request, request.beginMs),
      hasOthers: parts.others.length > 0,
      repeated: false,
      batch: parts.batch,
    },
  };
}

/** When so much of the caller's time is over. */
function byThen({ arrivedAt }: RelayRequest, ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : arrivedAt + ms;
}

/** Throws when the caller's time is over: nobody waits for the answer any more. */
export function checkTime({ upstream, route }: Plan): void {
  if (isTimeOver(upstream))
    throw new UpstreamError("DEADLINE_EXCEEDED", "request timed out", { upstream: route.upstream, model: route.name });
}

/** Whether the caller's time is over. */
export function isTimeOver({ endBy, beginBy }: UpstreamRequest): boolean {
  if (endBy === undefined && beginBy === undefined) return false;
  const now = performance.now();
  return (endBy !== undefined && now >= endBy) || (beginBy !== undefined && now >= beginBy);
}

function quotaRequest({ request, route, provider, api, body, given, stream }: PlanParts): QuotaRequest {
  return {
    requestId: request.id,
    span: request.span,
    actor: request.actor,
    endUser: request.endUser,
    feature: request.feature,
    model: route.name,
    estimate() {
      // The body as it is sent: the estimate sees what the upstream sees.
      const sent = body === given?.bytes ? given : scanJsonObject(body);
      return { promptTokens: promptTokens(api, sent), maxOutputTokens: api.read(sent, {}).maxOutputTokens };
    },
    price: (usage) => priceOf(route, usage),
    intent: () => JSON.stringify(eventStart(request, { route, provider, upstream: { stream } })),
  };
}

/** Prompts from this size on are estimated by their bytes: making texts of them would take most of what a request takes. */
const longBytes = 16 * 1024;

function promptTokens(api: Api, body: JsonObject): number {
  const { bytes } = body;
  if (bytes.length < longBytes || api.feature === "embeddings") return estimateTokens(api.prompt(body));
  return tokensOfSize(textSizeOf(bytes));
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
    time: isoTime(Date.now() - ageMs),
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
