// The typed edge's end of the route: native answers become typed ones as they pass.

import { UpstreamError } from "./errors.js";
import type { Route } from "./models/catalogue.js";
import type { CountedUsage, Provider } from "./providers/provider.js";
import { createSseScanner } from "./providers/sse.js";
import type { TypedAnswer, TypedDecoder, TypedEvent } from "./providers/typed.js";
import type { LimitState } from "./quota/quota.js";
import { type ReceivedRequest, type RelayParts, type RelayReply, relay } from "./relay.js";
import type { CountAsk, TypedAsk } from "./relay-ask.js";
import { typedApi } from "./relay-typed-plan.js";

export type { TypedEvent };

/** A typed completion under way. */
export interface TypedCall extends ReceivedRequest {
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
  /** What a whole answer used where it does not tell all of that; undefined: it does. */
  readonly counted: CountedUsage | undefined;
}

/** Longest event that is decoded: a picture or a large tool call in one piece. */
const maxEventBytes = 16 * 1024 * 1024;
const noBytes = Buffer.alloc(0);

/** One completion, whole. Throws a `GatewayError`. */
export async function relayWhole(parts: RelayParts, call: TypedCall): Promise<{ answer: TypedAnswer } & Charged> {
  let decoded: TypedAnswer = {};
  const answer = createAnswer(parts, call, {
    data: (body) => (decoded = spokenBy(answer, call).typed.decode(JSON.parse(body.toString("utf8")))),
  });
  await relay(parts, call, answer.reply);
  answer.check();
  return { answer: decoded, ...answer.charged() };
}

/** Who takes the events of a streamed answer. */
export interface EventTaker {
  /** Events that came at once. `charged` tells what is known by now. */
  take(events: readonly TypedEvent[], charged: () => Charged): void;
  /** False: stop until `onRoom` calls back. */
  hasRoom(): boolean;
  onRoom(resume: () => void): void;
}

/** The same as events while the upstream produces them; the last one is `finished`. Rejects with a `GatewayError`. */
export async function relayStream(parts: RelayParts, call: TypedCall, taker: EventTaker): Promise<void> {
  let decoder: TypedDecoder | undefined;
  // What the chunk that is being read has made so far.
  let made: TypedEvent[] = [];
  // `finished` waits for the settlement, whose figures it carries.
  let last: TypedEvent | undefined;

  const add = (events: readonly TypedEvent[]): void => {
    for (const event of events) {
      if (event.case === "finished") last = event;
      else made.push(event);
    }
  };
  const pass = (): void => {
    const events = made;
    made = [];
    if (events.length > 0) taker.take(events, answer.charged);
  };
  const scanner = createSseScanner(
    (data) => {
      decoder ??= spokenBy(answer, call).typed.decoder();
      add(decoder.event(data.toString("utf8")));
    },
    {
      maxEventBytes,
      onOversize() {
        throw new Error("event is too large");
      },
    },
  );
  const answer = createAnswer(parts, call, {
    data(chunk) {
      try {
        scanner.push(chunk);
      } finally {
        // Those before what cannot be read, too.
        pass();
      }
      return taker.hasRoom();
    },
    ended() {
      scanner.end();
      add(decoder?.end() ?? []);
      pass();
      if (!last) throw new Error("no end");
    },
    onDrain: taker.onRoom,
  });

  await relay(parts, call, answer.reply);
  answer.check();
  if (!last) throw new Error("an answer without an end");
  taker.take([last], answer.charged);
}

/** The API that the answer comes from. */
function spokenBy(answer: Answer, { ask }: TypedCall) {
  return typedApi(answer.provider(), ask.request, answer.route().model);
}

type Answer = Pick<ReturnType<typeof createAnswer>, "provider" | "route">;

/** The part of a reply that whole and streamed answers share. */
export function createAnswer(
  parts: Pick<RelayParts, "upstreams">,
  call: Pick<TypedCall, "signal" | "isDeadline">,
  into: {
    /** Takes bytes of a good answer. What it throws says that they are none; false: stop until `onDrain`. */
    data(chunk: Buffer): unknown;
    ended?(): void;
    onDrain?(resume: () => void): void;
  },
) {
  let admitted: Route | undefined;
  let limits: readonly LimitState[] = [];
  let status = 0;
  let headers: readonly string[] = [];
  let refusal: Buffer = noBytes;
  let failure: UpstreamError | undefined;
  let whole = false;
  let counted: CountedUsage | undefined;
  const route = (): Route => {
    if (!admitted) throw new Error("asked before the request was admitted");
    return admitted;
  };
  const provider = (): Provider => parts.upstreams.provider(route().upstream);
  const reply: RelayReply = {
    admitted(to, states) {
      admitted = to;
      limits = states;
    },
    start(code) {
      status = code;
    },
    whole(code, answerHeaders, body) {
      status = code;
      headers = answerHeaders;
      if (code < 300) into.data(body);
      else refusal = body;
    },
    write: (chunk) => into.data(chunk) !== false,
    ended: () => into.ended?.(),
    onDrain: (resume) => into.onDrain?.(resume),
    onGone(listener) {
      const { signal } = call;
      const aborted = (): void => {
        if (!call.isDeadline(signal.reason)) listener();
      };
      if (signal.aborted) aborted();
      else signal.addEventListener("abort", aborted, { once: true });
    },
    finish(states, usage) {
      whole = true;
      limits = states;
      if (usage.estimated) counted = usage;
    },
    fail(error) {
      failure = error;
    },
  };
  return {
    reply,
    route,
    provider,
    /** A header of the answer. */
    header: (name: string): string | undefined => valueOf(headers, name),
    charged: (): Charged => ({ model: admitted?.name ?? "", limits, counted }),
    /** Throws when the answer broke off, was an error, or never came because the caller left. */
    check(): void {
      if (failure) throw failure;
      if (!whole) call.signal.throwIfAborted();
      if (status >= 300) throw refusedBy(provider(), status, headers, refusal);
    },
  };
}

/** The upstream's error answer as the gateway's own error. */
function refusedBy(provider: Provider, status: number, headers: readonly string[], body: Buffer): UpstreamError {
  const retryAfter = valueOf(headers, "retry-after");
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

/** Names and values stand in turn. */
function valueOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((each, index) => index % 2 === 0 && each === name);
  return at < 0 ? undefined : headers[at + 1];
}
