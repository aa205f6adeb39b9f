// The typed edge's end of the route: native answers become typed ones as they pass.

import { GatewayError, UpstreamError } from "./errors.js";
import { createQueue } from "./lib/queue.js";
import type { Route } from "./models/catalogue.js";
import type { Provider } from "./providers/provider.js";
import { createSseScanner } from "./providers/sse.js";
import type { TypedAnswer, TypedDecoder, TypedEvent } from "./providers/typed.js";
import type { LimitState } from "./quota/quota.js";
import { type RelayParts, type RelayReply, type RelayRequest, relay } from "./relay.js";
import { type CountAsk, type TypedAsk, typedApi } from "./relay-plan.js";

/** A typed completion under way. */
export interface TypedCall extends RelayRequest {
  readonly ask: TypedAsk | CountAsk;
  /** Aborts when the caller leaves or its deadline passes. */
  readonly signal: AbortSignal;
  /** Whether a reason of `signal` is the deadline, which the route keeps by itself. */
  isDeadline(reason: unknown): boolean;
}

/** What the route knows beside the answer itself. */
export interface Charged {
  /** Gateway name of the model that answered. */
  readonly model: string;
  /** The limits that were charged, as they stand after settlement. */
  readonly limits: readonly LimitState[];
}

/** Longest event that is decoded: a picture or a large tool call in one piece. */
const maxEventBytes = 16 * 1024 * 1024;
/** Events that may wait for a slow caller before the upstream is paused. */
const maxWaiting = 64;

/** One completion, whole. Throws a `GatewayError`. */
export async function relayWhole(parts: RelayParts, call: TypedCall): Promise<{ answer: TypedAnswer } & Charged> {
  const chunks: Buffer[] = [];
  const answer = createAnswer(parts, call, { data: (chunk) => chunks.push(chunk) });
  await relay(parts, call, answer.reply);
  answer.check(Buffer.concat(chunks));
  const { api, provider } = answer.spoken();
  return {
    answer: decoded(provider, () => api.typed.decode(JSON.parse(Buffer.concat(chunks).toString("utf8")))),
    ...answer.charged(),
  };
}

/** The same as events while the upstream produces them; the last one is `finished`. Throws a `GatewayError`. */
export async function* relayStream(
  parts: RelayParts,
  call: TypedCall,
): AsyncGenerator<{ event: TypedEvent; charged: Charged }> {
  const queue = createQueue<TypedEvent>(maxWaiting);
  const errorBody: Buffer[] = [];
  let decoder: TypedDecoder | undefined;
  let broken: unknown;
  // `finished` waits for the settlement, whose figures it carries.
  let last: TypedEvent | undefined;

  const pass = (events: readonly TypedEvent[]): void => {
    for (const event of events) {
      if (event.case === "finished") last = event;
      else queue.push(event);
    }
  };
  const scanner = createSseScanner(
    (data) => {
      if (broken !== undefined) return;
      try {
        decoder ??= answer.spoken().api.typed.decoder();
        pass(decoder.event(data.toString("utf8")));
      } catch (error) {
        broken = error;
      }
    },
    { maxEventBytes, onOversize: () => (broken ??= new Error("event is too large")) },
  );
  const answer = createAnswer(parts, call, {
    data(chunk, status) {
      if (status < 300) scanner.push(chunk);
      else errorBody.push(chunk);
      return queue.hasRoom();
    },
    onDrain: queue.onRoom,
  });

  relay(parts, call, answer.reply)
    .then(() => {
      scanner.end();
      answer.check(Buffer.concat(errorBody));
      if (broken !== undefined) throw asUpstreamError(answer.spoken().provider, broken);
      pass(decoded(answer.spoken().provider, () => decoder?.end() ?? []));
      if (!last) throw asUpstreamError(answer.spoken().provider, new Error("no end"));
      queue.push(last);
      queue.end();
    })
    .catch((error: unknown) => queue.fail(error));

  for await (const event of queue) yield { event, charged: answer.charged() };
}

/** The part of a reply that whole and streamed answers share. */
export function createAnswer(
  parts: RelayParts,
  call: TypedCall,
  into: { data(chunk: Buffer, status: number): unknown; onDrain?(resume: () => void): void },
) {
  let route: Route | undefined;
  let limits: readonly LimitState[] = [];
  let status = 0;
  let headers: readonly string[] = [];
  let failure: UpstreamError | undefined;
  let whole = false;
  const spoken = () => {
    if (!route) throw new Error("asked before the request was admitted");
    const provider = parts.upstreams.provider(route.upstream);
    return { provider, api: typedApi(provider, call.ask.request, route.model) };
  };
  const reply: RelayReply = {
    admitted(to, states) {
      route = to;
      limits = states;
    },
    start(code, answerHeaders) {
      status = code;
      headers = answerHeaders;
    },
    whole(code, answerHeaders, body) {
      status = code;
      headers = answerHeaders;
      into.data(body, code);
    },
    write: (chunk) => into.data(chunk, status) !== false,
    onDrain: (resume) => into.onDrain?.(resume),
    onGone(listener) {
      const { signal } = call;
      const aborted = (): void => {
        if (!call.isDeadline(signal.reason)) listener();
      };
      if (signal.aborted) aborted();
      else signal.addEventListener("abort", aborted, { once: true });
    },
    finish(states) {
      whole = true;
      limits = states;
    },
    fail(error) {
      failure = error;
    },
  };
  return {
    reply,
    spoken,
    charged: (): Charged => ({ model: route?.name ?? "", limits }),
    /** Throws when the answer broke off, was an error, or never came because the caller left. */
    check(body: Buffer): void {
      if (failure) throw failure;
      if (!whole) call.signal.throwIfAborted();
      if (status >= 300) throw refusedBy(spoken().provider, status, headers, body);
    },
  };
}

/** The upstream's error answer as the gateway's own error. */
function refusedBy(provider: Provider, status: number, headers: readonly string[], body: Buffer): UpstreamError {
  const named = headers.indexOf("retry-after");
  const retryAfter = named < 0 ? undefined : headers[named + 1];
  const details = {
    upstream: provider.kind,
    status,
    ...(retryAfter !== undefined && { retryAfterSeconds: Number(retryAfter) }),
  };
  if (status === 503) return new UpstreamError("UPSTREAM_RATE_LIMITED", "upstream is overloaded", details);
  if (status >= 500) return new UpstreamError("UPSTREAM_UNAVAILABLE", "upstream failed", details);
  // What is wrong with a request is between the caller and the provider: it is told in the provider's words.
  const words = provider.readError(body) ?? "upstream refused the request";
  return new UpstreamError("UPSTREAM_REFUSED_REQUEST", words, details);
}

/** What `decode` returns; what it throws is the upstream's fault. */
export function decoded<T>(provider: Provider, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw asUpstreamError(provider, error);
  }
}

function asUpstreamError(provider: Provider, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new UpstreamError("UPSTREAM_INTERRUPTED", "upstream sent an answer that cannot be read", {
    upstream: provider.kind,
    cause,
  });
}
