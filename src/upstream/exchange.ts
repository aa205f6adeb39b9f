// One exchange with an upstream: what its answer means, what is passed on, how it ends.

import type { Dispatcher } from "undici";
import { UpstreamError } from "../errors.js";
import { type Answer, isSuccess, streamedAnswer, wholeAnswer } from "./answers.js";
import { type Ending, outcomeOf, silence } from "./ending.js";
import type { AnswerHeaders } from "./header-policy.js";
import { isOverload, refusalOf, type Sent } from "./refusals.js";
import type { Again, Exchange, Figures, Reply, UpstreamRequest, UpstreamTarget } from "./upstream.js";
import type { Watch, Watched } from "./watch.js";

/** Longest wait for an answer that is no stream: reasoning models think for minutes. */
const wholeFirstByteMs = 600_000;

/** The handler that undici feeds, and the exchange's end. */
export interface OpenExchange {
  readonly handler: Dispatcher.DispatchHandler;
  readonly done: Promise<Exchange>;
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
      if (isSuccess(code) && isEncoded(headers)) return broken("UPSTREAM_REJECTED", "upstream compressed its answer");
      const parts = { target, request, reply, meter, output, exchange: { end, broken, flow } };
      answer =
        isSuccess(code) && isEventStream(headers) ? streamedAnswer(parts, headers) : wholeAnswer(parts, code, headers);
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
      if (status !== undefined) return broken("UPSTREAM_INTERRUPTED", "upstream broke off its answer", cause);
      const again = health.silent(request, reached);
      if (isConnectTimeout(cause)) broken("DEADLINE_EXCEEDED", "no connection in time", cause, again);
      else broken("UPSTREAM_UNAVAILABLE", "upstream could not be reached", cause, again);
    },
    tick(nowMs) {
      // Neither the caller's own limits nor its leaving say anything about the upstream.
      if (status === undefined && nowMs >= silentBy)
        return broken("DEADLINE_EXCEEDED", "no answer in time", undefined, health.silent(request, true));
      if (nowMs >= endBy) return broken("DEADLINE_EXCEEDED", "request timed out");
      if (status === undefined && nowMs >= beginBy) return broken("DEADLINE_EXCEEDED", "no answer in time");
      if (status === undefined || answer?.paused || nowMs - lastByteAt < idleMs) return;
      // Of an answer that has begun, the caller has received a part: it is interrupted.
      const reason = answer?.begun ? "UPSTREAM_INTERRUPTED" : "DEADLINE_EXCEEDED";
      broken(reason, silence);
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

  /** Fails for what came from the upstream, or did not come. */
  function broken(reason: UpstreamError["reason"], message: string, cause?: unknown, again?: Again): void {
    const about = {
      upstream: target.name,
      model: `${target.name}/${request.model}`,
      ...(status !== undefined && { status }),
      ...(cause !== undefined && { cause }),
    };
    fail(new UpstreamError(reason, message, about), again);
  }

  function flow(on: boolean): void {
    if (!on) return controller?.pause();
    lastByteAt = watch.now();
    if (!ended) controller?.resume();
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

function isConnectTimeout(cause: Error): boolean {
  return "code" in cause && cause.code === "UND_ERR_CONNECT_TIMEOUT";
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
