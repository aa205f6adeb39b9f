// One exchange with an upstream: what its answer means, what is passed on, how it ends.

import type { Dispatcher } from "undici";
import { UpstreamError } from "../errors.js";
import type { Output } from "../providers/output.js";
import type { Meter } from "../providers/provider.js";
import { createSseScanner, type SseScanner } from "../providers/sse.js";
import { createSseFilter } from "../providers/sse-filter.js";
import { type Ending, outcomeOf, silence } from "./ending.js";
import { type AnswerHeaders, passedHeaders } from "./header-policy.js";
import { isOverload, passedStatus, refusalOf, retryHint, type Sent } from "./refusals.js";
import type { Again, Exchange, Figures, Reply, UpstreamRequest, UpstreamTarget } from "./upstream.js";
import type { Watch, Watched } from "./watch.js";

/** Largest answer that is no stream; it is held whole, so that one that breaks off is never begun. */
const maxWholeBytes = 64 * 1024 * 1024;
/** Largest streamed answer. */
const maxStreamBytes = 256 * 1024 * 1024;
/** Events longer than this are passed on, but not read for usage, where the API's meter does not say otherwise. */
const maxMeteredEventBytes = 64 * 1024;
/** Longest wait for an answer that is no stream: reasoning models think for minutes. */
const wholeFirstByteMs = 600_000;

/** The handler that undici feeds, and the exchange's end. */
export interface OpenExchange {
  readonly handler: Dispatcher.DispatchHandler;
  readonly done: Promise<Exchange>;
}

/** An answer on its way to the caller. */
interface Answer {
  /** The caller has received the beginning. */
  begun: boolean;
  data(chunk: Buffer): void;
  end(): void;
}

/** Where a request goes, and who is to know how it went. */
export interface Line extends Sent {
  readonly watch: Watch;
}

/** Opens an exchange. The caller dispatches the request with the handler; `done` resolves once, whichever way it ends. */
export function openExchange(line: Line, request: UpstreamRequest, reply: Reply, onReached: () => void): OpenExchange {
  const { target, key, health, watch } = line;
  const { api } = request;
  const meter = api.meter();
  const output = api.output?.();
  const { idleMs } = target.timeouts;
  let controller: Dispatcher.DispatchController | undefined;
  let resolve: (exchange: Exchange) => void;
  const done = new Promise<Exchange>((resolver) => {
    resolve = resolver;
  });

  let reached = false;
  let status: number | undefined;
  let answer: Answer | undefined;
  let ended = false;
  let paused = false;

  const startedAt = performance.now();
  const endBy = earlier(startedAt + target.timeouts.totalMs, request.endBy);
  const silentBy = startedAt + firstByteLimit(target, request);
  const beginBy = earlier(silentBy, request.beginBy);
  let begunAfterMs: number | undefined;
  let lastByteAt = startedAt;

  // What undici tells, and the watch: one object for both, there is one for each request.
  const handler: Dispatcher.DispatchHandler & Watched = {
    place: -1,
    onRequestStart(started) {
      controller = started;
      if (ended) return started.abort(new Error("exchange over"));
      reached = true;
      onReached();
    },
    onResponseStart(_controller, code, headers) {
      if (ended || code < 200) return;
      status = code;
      begunAfterMs = performance.now() - startedAt;
      lastByteAt = watch.now();
      const refusal = code < 300 ? undefined : refusalOf(line, request, code, headers);
      if (refusal) return fail(refusal.error, refusal.again);
      if (!isOverload(code)) health.answered(request, key);
      // It was asked not to be: nothing of it could be read.
      if (isSuccess(code) && isEncoded(headers))
        return fail(upstreamError("UPSTREAM_REJECTED", "upstream compressed its answer"));
      answer = isSuccess(code) && isEventStream(headers) ? streamed(headers) : whole(code, headers);
    },
    onResponseData(_controller, chunk) {
      if (ended) return;
      lastByteAt = watch.now();
      answer?.data(chunk);
    },
    onResponseEnd() {
      if (!ended) answer?.end();
    },
    onResponseError(_controller, cause) {
      if (ended) return;
      if (status === undefined) {
        const error = isConnectTimeout(cause)
          ? upstreamError("DEADLINE_EXCEEDED", "no connection in time", cause)
          : upstreamError("UPSTREAM_UNAVAILABLE", "upstream could not be reached", cause);
        fail(error, health.silent(request, reached));
      } else fail(upstreamError("UPSTREAM_INTERRUPTED", "upstream broke off its answer", cause));
    },
    tick(nowMs) {
      // Neither the caller's own limits nor its leaving say anything about the upstream.
      if (status === undefined && nowMs >= silentBy)
        return fail(upstreamError("DEADLINE_EXCEEDED", "no answer in time"), health.silent(request, true));
      if (nowMs >= endBy) return fail(upstreamError("DEADLINE_EXCEEDED", "request timed out"));
      if (status === undefined && nowMs >= beginBy)
        return fail(upstreamError("DEADLINE_EXCEEDED", "no answer in time"));
      if (status === undefined || paused || nowMs - lastByteAt < idleMs) return;
      // Of an answer that has begun, the caller has received a part: it is interrupted.
      const reason = answer?.begun ? "UPSTREAM_INTERRUPTED" : "DEADLINE_EXCEEDED";
      fail(upstreamError(reason, silence));
    },
  };
  watch.add(handler);
  reply.onGone(() => end({ kind: "gone", started: answer?.begun === true && isSuccess(status) }));

  function end(ending: Ending): void {
    if (ended) return;
    ended = true;
    watch.delete(handler);
    if (ending.kind !== "answered") controller?.abort(new Error("exchange over"));
    const upstreamMs = performance.now() - startedAt;
    health.tried(outcomeOf(ending, status, reached));
    const { usage } = meter;
    const said = usage.outputTokens === undefined ? output : undefined;
    const figures = { usage, output: said, status, upstreamMs, firstByteMs: begunAfterMs };
    resolve(exchangeOf(ending, figures));
  }

  function fail(error: UpstreamError, again?: Again): void {
    end({ kind: "failed", error, started: answer?.begun === true, again, tried: true });
  }

  function unreadable(cause: unknown): void {
    fail(upstreamError("UPSTREAM_INTERRUPTED", "upstream sent an answer that cannot be read", cause));
  }

  function upstreamError(reason: UpstreamError["reason"], message: string, cause?: unknown): UpstreamError {
    return new UpstreamError(reason, message, {
      upstream: target.name,
      model: `${target.name}/${request.model}`,
      ...(status !== undefined && { status }),
      ...(cause !== undefined && { cause }),
    });
  }

  function streamed(headers: AnswerHeaders): Answer {
    const scanner = meterEvents(meter, output);
    const filter = request.unasked && createSseFilter(request.unasked);
    let bytes = 0;
    const resume = (): void => {
      paused = false;
      lastByteAt = watch.now();
      if (!ended) controller?.resume();
    };
    const pass = (passed: Buffer): void => {
      if (passed.length === 0 || reply.write(passed) || paused) return;
      paused = true;
      controller?.pause();
      reply.onDrain(resume);
    };
    reply.start(200, [...passedHeaders(headers, "cache-control"), "cache-control", "no-cache"]);
    return {
      begun: true,
      data(chunk) {
        bytes += chunk.length;
        if (bytes > maxStreamBytes) return fail(upstreamError("UPSTREAM_INTERRUPTED", "upstream answer is too large"));
        try {
          pass(filter ? filter.push(chunk) : chunk);
        } catch (cause) {
          scanner.push(chunk);
          return unreadable(cause);
        }
        scanner.push(chunk);
      },
      end() {
        scanner.end();
        if (meter.ended === undefined)
          return fail(upstreamError("UPSTREAM_INTERRUPTED", "upstream ended its answer before it was complete"));
        try {
          if (filter) pass(filter.rest());
          reply.ended?.();
        } catch (cause) {
          return unreadable(cause);
        }
        end({ kind: "answered", streamError: meter.ended === "error" });
      },
    };
  }

  function whole(code: number, headers: AnswerHeaders): Answer {
    const chunks: Buffer[] = [];
    let bytes = 0;
    return {
      begun: false,
      data(chunk) {
        bytes += chunk.length;
        if (bytes > maxWholeBytes) return fail(upstreamError("UPSTREAM_REJECTED", "upstream answer is too large"));
        chunks.push(chunk);
      },
      end() {
        const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes);
        if (isSuccess(code)) meter.whole(body);
        if (isSuccess(code) && meter.usage.outputTokens === undefined) output?.whole(body);
        if (isSuccess(code) && !isAnswer(meter, body))
          return fail(upstreamError("UPSTREAM_REJECTED", "upstream sent bytes that are no answer"));
        const passed = passedHeaders(headers);
        const retryAfter = retryHint(target, code, headers);
        if (retryAfter !== undefined) passed.push("retry-after", String(retryAfter));
        try {
          reply.whole(passedStatus(code), passed, body);
        } catch (cause) {
          return unreadable(cause);
        }
        this.begun = true;
        end({ kind: "answered", streamError: false });
      },
    };
  }

  return { handler, done };
}

/** Laid out in one go: an object that is put together from parts is a slow one. */
function exchangeOf(ending: Ending, { usage, output, status, upstreamMs, firstByteMs }: Figures): Exchange {
  const { kind } = ending;
  if (kind === "answered") {
    return { kind, streamError: ending.streamError, usage, output, status, upstreamMs, firstByteMs };
  }
  const { started } = ending;
  if (kind === "gone") return { kind, started, usage, output, status, upstreamMs, firstByteMs };
  const { error, again, tried } = ending;
  return { kind, started, error, again, tried, usage, output, status, upstreamMs, firstByteMs };
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

function isConnectTimeout(cause: Error): boolean {
  return "code" in cause && cause.code === "UND_ERR_CONNECT_TIMEOUT";
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

function isSuccess(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

function isEventStream(headers: AnswerHeaders): boolean {
  const type = headers["content-type"];
  return typeof type === "string" && type.startsWith("text/event-stream");
}

function isEncoded(headers: AnswerHeaders): boolean {
  const encoding = headers["content-encoding"];
  return encoding !== undefined && encoding !== "identity";
}

/** Longest wait for the first byte, ms. */
function firstByteLimit({ timeouts }: UpstreamTarget, { stream }: UpstreamRequest): number {
  return stream ? timeouts.firstByteMs : Math.max(timeouts.firstByteMs, wholeFirstByteMs);
}

function earlier(limit: number, given: number | undefined): number {
  return given === undefined ? limit : Math.min(limit, given);
}
