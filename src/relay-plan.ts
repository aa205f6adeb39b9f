// What is decided of a request before anything is held or sent: where it goes, what it may cost, how long it may take.

import { UpstreamError } from "./errors.js";
import { isoTime } from "./lib/iso-time.js";
import { type JsonObject, scanJsonObject } from "./lib/json.js";
import type { Catalogue, Route } from "./models/catalogue.js";
import { microdollars } from "./models/prices.js";
import { estimateTokens, tokensOfSize } from "./models/tokens.js";
import { textSizeOf } from "./providers/long-prompts.js";
import { pathFor, upstreamPath } from "./providers/paths.js";
import type { Api, ApiPath, Provider, Usage } from "./providers/provider.js";
import type { QuotaRequest } from "./quota/quota.js";
import type { RelayRequest } from "./relay.js";
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

/** The request is for the actor's limits, and for the upstream, what its parts say. */
export function makePlan(parts: PlanParts): Plan {
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
