// THE route of one request: limits, upstream, settlement, event. Both edges come through here, typed RPCs and HTTP.

import type { Actor, Feature } from "./actors/actor.js";
import { GatewayError, PromptBlockedError, type Reason, UnavailableError, type UpstreamError } from "./errors.js";
import { uniqueId } from "./lib/ids.js";
import type { Span } from "./lib/span.js";
import type { Route } from "./models/catalogue.js";
import type { Tokenizer } from "./models/tokenizer.js";
import type { CountedUsage } from "./providers/provider.js";
import type { Hold, LimitState, Quota } from "./quota/quota.js";
import type { Ask } from "./relay-ask.js";
import { type Attempts, furtherAttempts } from "./relay-attempts.js";
import { type Checks, check } from "./relay-check.js";
import { type ApiPath, checkTime, eventStart, type Plan, type Planner } from "./relay-plan.js";
import { planOf } from "./relay-planning.js";
import { amounts, withUsage } from "./relay-usage.js";
import type { Exchange, Reply, Upstreams } from "./upstream/upstream.js";
import { type FlaggedEvent, limitEvent, type UsageEvent } from "./usage/event.js";

export type { ApiPath };

/** One request, as an edge received it. */
export interface ReceivedRequest {
  /** As the caller knows it. May be the caller's own, and be sent any number of times. */
  readonly id: string;
  /** The trace it belongs to, 32 hex digits. */
  readonly traceId: string;
  /** Undefined: nobody traces it. */
  readonly span: Span | undefined;
  readonly actor: Actor;
  /** Which of the actor's users asks, where that was said. */
  readonly endUser: UsageEvent["endUser"];
  readonly feature: Feature;
  readonly edge: UsageEvent["edge"];
  readonly ask: Ask;
  /** Time the caller allows from its arrival to the end of the answer, ms. */
  readonly timeoutMs: number | undefined;
  /** Time it allows until the answer begins, which an answer that is no stream does when it is whole, ms. */
  readonly beginMs?: number | undefined;
  /** When it arrived, by `performance.now()`. */
  readonly arrivedAt: number;
  /** By which way it came: the path of its HTTP route or RPC. */
  readonly path: string;
}

/** The same on its route. */
export interface RelayRequest extends ReceivedRequest {
  /** Name of the deployment that serves it. */
  readonly environment: string;
}

/** Who receives the answer. Exactly one of `finish` and `fail` is called, unless `relay` throws or the caller left. */
export interface RelayReply extends Reply {
  /**
   * The request was admitted: where it goes and the limits it is charged to. Called before `start`, and again when another
   * model takes over.
   */
  admitted(route: Route, limits: readonly LimitState[]): void;
  /** The answer is whole. `limits` as they stand after settlement, `usage` as it was charged. */
  finish(limits: readonly LimitState[], usage: CountedUsage): void;
  /** The answer had begun and cannot be finished: the caller must not take it for whole. */
  fail(error: UpstreamError): void;
}

export interface RelayParts extends Planner {
  readonly quota: Quota;
  readonly upstreams: Upstreams;
  /** Counts tokens that no upstream reported. */
  readonly tokenizer: Tokenizer;
  /** Undefined: nothing is checked. */
  readonly checks: Checks | undefined;
  /** Name of this deployment, for events. */
  readonly environment: string;
  /** Whether there is no room for events of further requests, and they are to be refused for it. */
  readonly full: () => boolean;
  /** Told of each request as it comes in. Must not throw. */
  readonly began: (request: RelayRequest) => void;
  /** Told of each that is admitted, with the limits it is charged to. Must not throw. */
  readonly admitted: (request: RelayRequest, plan: Plan, limits: readonly LimitState[]) => void;
  /** Takes the one event of each request. Must not throw. */
  readonly emit: (event: UsageEvent, end: RelayEnd) => void;
}

/** What else is to know of a request's end. */
export interface RelayEnd {
  readonly request: RelayRequest;
  /** Undefined when it was refused before it was known where it would go. */
  readonly plan: Plan | undefined;
  /** The limits it was charged to, as they stand after settlement. */
  readonly limits: readonly LimitState[];
  /** What `relay` throws. */
  readonly failure: unknown;
  /** The settlement carried the event to the outbox: it is not to be put there again. */
  readonly told: boolean;
}

/** When callers may come again while there is no room for events. */
const fullRetryMs = 5_000;

/**
 * Relays one request: reserve, check, send, stream, count, settle, event. Throws a `GatewayError` when it ended before the answer
 * began; then nothing was charged.
 */
export async function relay(parts: RelayParts, received: ReceivedRequest, reply: RelayReply): Promise<void> {
  const request = onItsRoute(received, parts.environment);
  let plan: Plan | undefined;
  let hold: Hold | undefined;
  let event: UsageEvent | undefined;
  let flagged: FlaggedEvent | undefined;
  let failure: unknown;
  let more: Attempts | undefined;
  parts.began(request);
  try {
    plan = planOf(parts, request);
    if (parts.full()) throw new UnavailableError("OVERLOADED", "usage events cannot be kept", fullRetryMs);
    checkTime(plan);
    hold = plan.quota ? await parts.quota.reserve(plan.quota) : freeHold;
    if (parts.checks) flagged = await check(parts.checks, request, plan);
    if (flagged?.blocked) throw new PromptBlockedError(request.traceId);
    parts.admitted(request, plan, hold.states);
    reply.admitted(plan.route, hold.states);

    checkTime(plan);
    let exchange = await parts.upstreams.send(plan.upstream, reply, hold.reached);
    if (exchange.kind === "failed" && exchange.again !== undefined) {
      more = await furtherAttempts(parts, { request, plan, hold, reply }, exchange);
      ({ plan, exchange } = more);
      flagged = more.flagged ?? flagged;
    }

    if (isCharged(exchange)) exchange = await withUsage(parts.tokenizer, plan, exchange);
    const ended = (event = eventOf(request, plan, exchange, undefined, { flagged, more }));
    if (isCharged(exchange)) await hold.commit(amounts(plan, exchange), () => JSON.stringify(ended));
    else await hold.refund(() => JSON.stringify(ended));

    if (exchange.kind === "answered") reply.finish(hold.states, exchange.usage);
    else if (exchange.kind === "failed" && exchange.started) reply.fail(exchange.error);
    else if (exchange.kind === "failed") throw exchange.error;
  } catch (error) {
    failure = error;
    if (event === undefined) {
      const ended = (event = eventOf(request, plan, undefined, failure, { flagged }));
      await hold?.refund(() => JSON.stringify(ended));
    }
    throw error;
  } finally {
    if (event) {
      const limits = hold?.states ?? [];
      parts.emit(event, { request, plan, limits, failure, told: hold?.told ?? false });
    }
  }
}

/**
 * Laid out in one go, as all that is made for each request: an object that is put together from parts is a slow one, here and
 * wherever it goes.
 */
function onItsRoute(received: ReceivedRequest, environment: string): RelayRequest {
  return {
    // With the caller's id alone, a caller who sends one twice would be counted once.
    id: `${received.id}.${uniqueId()}`,
    traceId: received.traceId,
    span: received.span,
    actor: received.actor,
    endUser: received.endUser,
    feature: received.feature,
    edge: received.edge,
    ask: received.ask,
    timeoutMs: received.timeoutMs,
    beginMs: received.beginMs,
    arrivedAt: received.arrivedAt,
    path: received.path,
    environment,
  };
}

/** A request counts once its caller received the beginning of a good answer; everything else is free. */
function isCharged(exchange: Exchange): boolean {
  if (exchange.kind === "answered") return exchange.status !== undefined && exchange.status < 300;
  return exchange.started;
}

const freeHold: Hold = { states: [], told: false, reached() {}, async commit() {}, async refund() {} };

function eventOf(
  request: RelayRequest,
  plan: Plan | undefined,
  exchange: Exchange | undefined,
  failure: unknown,
  { flagged, more }: { readonly flagged: FlaggedEvent | undefined; readonly more?: Attempts | undefined },
): UsageEvent {
  const durationMs = performance.now() - request.arrivedAt;
  const { upstreamMs = 0, firstByteMs } = exchange ?? {};
  const start = eventStart(request, plan);
  const { outcome, reason } = ending(exchange, failure);
  return {
    id: start.id,
    time: start.time,
    trace_id: start.trace_id,
    environment: start.environment,
    actor: start.actor,
    endUser: start.endUser,
    feature: start.feature,
    model: start.model,
    provider: start.provider,
    upstream: start.upstream,
    requestedModel: more?.requestedModel,
    attempts: more?.attempts,
    edge: start.edge,
    stream: start.stream,
    outcome,
    reason,
    upstreamStatus: exchange?.status,
    usage: exchange?.usage ?? {},
    charged: plan?.quota !== undefined && exchange !== undefined && isCharged(exchange),
    durationMs: toMicroseconds(durationMs),
    upstreamMs: toMicroseconds(upstreamMs),
    firstByteMs: firstByteMs === undefined ? undefined : toMicroseconds(durationMs - upstreamMs + firstByteMs),
    limit: limitEvent(failure),
    flagged,
  };
}

/** Further digits would only make events longer. */
function toMicroseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function ending(exchange: Exchange | undefined, failure: unknown): Pick<UsageEvent, "outcome" | "reason"> {
  if (exchange === undefined) {
    if (failure instanceof GatewayError) return { outcome: "refused", reason: failure.reason };
    return { outcome: "failed", reason: "INTERNAL" };
  }
  if (exchange.kind === "gone") return { outcome: "client_gone" };
  if (exchange.kind === "failed") return { outcome: "failed", reason: exchange.error.reason };
  if (exchange.streamError) return { outcome: "failed", reason: "UPSTREAM_INTERRUPTED" };
  if (isCharged(exchange)) return { outcome: "completed" };
  return { outcome: "failed", reason: refusalReason(exchange.status ?? 0) };
}

/** What an upstream's error answer, which was passed on, says about whose fault it is. */
function refusalReason(status: number): Reason {
  if (status === 429 || status === 529 || status === 503) return "UPSTREAM_RATE_LIMITED";
  return status >= 500 ? "UPSTREAM_UNAVAILABLE" : "UPSTREAM_REFUSED_REQUEST";
}
