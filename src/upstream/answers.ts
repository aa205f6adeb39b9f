// An answer on its way to the caller: passed on as it comes where it is a stream, else held until it is whole.

import type { UpstreamError } from "../errors.js";
import type { Output } from "../providers/output.js";
import type { Meter } from "../providers/provider.js";
import { createSseScanner, type SseScanner } from "../providers/sse.js";
import { createSseFilter } from "../providers/sse-filter.js";
import type { Ending } from "./ending.js";
import { type AnswerHeaders, passedHeaders } from "./header-policy.js";
import { passedStatus, retryHint } from "./refusals.js";
import type { Reply, UpstreamRequest, UpstreamTarget } from "./upstream.js";

/** Largest answer that is no stream; it is held whole, so that one that breaks off is never begun. */
const maxWholeBytes = 64 * 1024 * 1024;
/** Largest streamed answer. */
const maxStreamBytes = 256 * 1024 * 1024;
/** Events longer than this are passed on, but not read for usage, where the API's meter does not say otherwise. */
const maxMeteredEventBytes = 64 * 1024;

/** An answer on its way to the caller. */
export interface Answer {
  /** The caller has received the beginning. */
  readonly begun: boolean;
  /** It waits for the caller, who takes nothing more for now. */
  readonly paused: boolean;
  data(chunk: Buffer): void;
  end(): void;
}

/** What an answer is to the exchange that it belongs to. */
export interface AnswerParts {
  readonly target: UpstreamTarget;
  readonly request: UpstreamRequest;
  readonly reply: Reply;
  readonly meter: Meter;
  /** Keeps what is said, where that may have to be counted. */
  readonly output: Output | undefined;
  readonly exchange: AnsweredExchange;
}

/** The exchange, as far as its answer decides about it. */
export interface AnsweredExchange {
  end(ending: Extract<Ending, { kind: "answered" }>): void;
  /** The answer cannot be used, or not to its end. */
  broken(reason: UpstreamError["reason"], message: string, cause?: unknown): void;
  /** Whether the upstream is to go on sending. */
  flow(on: boolean): void;
}

/** Begins to pass on a stream. */
export function streamedAnswer(
  { request, reply, meter, output, exchange }: AnswerParts,
  headers: AnswerHeaders,
): Answer {
  const scanner = meterEvents(meter, output);
  const filter = request.unasked && createSseFilter(request.unasked);
  let bytes = 0;
  const resume = (): void => {
    answer.paused = false;
    exchange.flow(true);
  };
  const pass = (passed: Buffer): void => {
    if (passed.length === 0 || reply.write(passed) || answer.paused) return;
    answer.paused = true;
    exchange.flow(false);
    reply.onDrain(resume);
  };
  reply.start(200, [...passedHeaders(headers, "cache-control"), "cache-control", "no-cache"]);
  // Plain fields: what is made for each request has no getters.
  const answer = {
    begun: true,
    paused: false,
    data(chunk: Buffer): void {
      bytes += chunk.length;
      if (bytes > maxStreamBytes) return exchange.broken("UPSTREAM_INTERRUPTED", "upstream answer is too large");
      try {
        pass(filter ? filter.push(chunk) : chunk);
      } catch (cause) {
        scanner.push(chunk);
        return unreadable(exchange, cause);
      }
      scanner.push(chunk);
    },
    end(): void {
      scanner.end();
      if (meter.ended === undefined)
        return exchange.broken("UPSTREAM_INTERRUPTED", "upstream ended its answer before it was complete");
      try {
        if (filter) pass(filter.rest());
        reply.ended?.();
      } catch (cause) {
        return unreadable(exchange, cause);
      }
      exchange.end({ kind: "answered", streamError: meter.ended === "error" });
    },
  };
  return answer;
}

/** Holds an answer with this status until it is whole. */
export function wholeAnswer(
  { target, reply, meter, output, exchange }: AnswerParts,
  status: number,
  headers: AnswerHeaders,
): Answer {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const answer = {
    begun: false,
    paused: false,
    data(chunk: Buffer): void {
      bytes += chunk.length;
      if (bytes > maxWholeBytes) return exchange.broken("UPSTREAM_REJECTED", "upstream answer is too large");
      chunks.push(chunk);
    },
    end(): void {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes);
      if (isSuccess(status)) meter.whole(body);
      if (isSuccess(status) && meter.usage.outputTokens === undefined) output?.whole(body);
      if (isSuccess(status) && !isAnswer(meter, body))
        return exchange.broken("UPSTREAM_REJECTED", "upstream sent bytes that are no answer");
      const passed = passedHeaders(headers);
      const retryAfter = retryHint(target, status, headers);
      if (retryAfter !== undefined) passed.push("retry-after", String(retryAfter));
      try {
        reply.whole(passedStatus(status), passed, body);
      } catch (cause) {
        return unreadable(exchange, cause);
      }
      answer.begun = true;
      exchange.end({ kind: "answered", streamError: false });
    },
  };
  return answer;
}

/** Whether a status says that there is an answer. */
export function isSuccess(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

function unreadable(exchange: AnsweredExchange, cause: unknown): void {
  exchange.broken("UPSTREAM_INTERRUPTED", "upstream sent an answer that cannot be read", cause);
}

function meterEvents(meter: Meter, output: Output | undefined): SseScanner {
  return createSseScanner(
    (data) => {
      meter.event(data);
      if (meter.usage.outputTokens === undefined) output?.event(data);
    },
    { maxEventBytes: meter.maxEventBytes ?? maxMeteredEventBytes },
  );
}

/** Whether a whole body can be one: it has told its usage, or is JSON at least. */
function isAnswer({ usage }: Meter, body: Buffer): boolean {
  for (const _ in usage) return true;
  try {
    JSON.parse(body.toString("utf8"));
    return true;
  } catch {
    return false;
  }
}
