// The requests being served, each with its answer. One sweep looks at all of them: requests carry no timers of their own.

import type { Socket } from "node:net";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import { isHttp2 } from "./answer.js";
import type { RequestCall, ServerObserver } from "./call.js";
import { bodyArrived, createExchangeLimits, newProgress, type Progress } from "./exchange-limits.js";
import type { ServerLimits } from "./limits.js";
import type { Session } from "./session.js";
import type { SweepClock } from "./sweep-clock.js";
import { endSpan } from "./trace.js";

/** One request and its answer. */
export interface Exchange extends RequestCall {
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  /** The connection. Requests forget theirs. */
  readonly socket: Socket;
  /** The HTTP/2 session it runs on. */
  readonly session: Session | undefined;
  /** It arrived while an earlier request of its HTTP/1.1 connection was still being answered. */
  readonly queued: boolean;
  /** The server has answered in place of its handler, which may still try. */
  readonly timedOut: boolean;
}

interface Watched extends Exchange, Placed {
  timedOut: boolean;
  /** Made by the first sweep that meets the exchange: most are over before. */
  progress: Progress | undefined;
}

const served = Symbol("exchange");
/** An answer, and what it is the answer of; likewise a request that has its answer. */
type Answering = (HttpResponse | HttpRequest) & { [served]?: Watched | undefined };

/** All requests being served. */
export interface Exchanges {
  readonly size: number;
  /** Begins to watch a request. */
  open(exchange: Omit<Exchange, "timedOut">): Exchange;
  /** Ends what is over its time. */
  sweep(): void;
  [Symbol.iterator](): Iterator<Exchange>;
}

/** Watches requests. `onEnd` is told of each once, when its answer is over and its body has arrived or been given up. */
export function createExchanges(
  parts: { clock: SweepClock; observer: ServerObserver; onEnd(exchange: Exchange): void },
  limits: ServerLimits,
): Exchanges {
  const { clock } = parts;
  const bounds = createExchangeLimits(parts, limits);
  const live = createShortLivedSet<Watched>();
  // When the last sweep was: what it did not meet began after it.
  let sweptAt = clock.swept;

  function progressOf(exchange: Watched): Progress {
    return (exchange.progress ??= newProgress(sweptAt));
  }

  // Shared by all responses, hence `this`.
  function onClose(this: HttpResponse): void {
    const exchange = (this as Answering)[served];
    if (!exchange) return;
    if (exchange.span) endSpan(exchange.span, this);
    if (!isHttp2(this) && !exchange.req.complete && !exchange.socket.destroyed) {
      // Answered before its body has arrived: the connection is busy until it has.
      progressOf(exchange).lingersSince ??= clock.swept;
      (exchange.req as Answering)[served] = exchange;
      exchange.req.on("close", onBodyOver).resume();
      return;
    }
    end(exchange);
  }

  function onBodyOver(this: HttpRequest): void {
    const exchange = (this as Answering)[served];
    if (exchange) end(exchange);
  }

  function onDrain(this: HttpResponse): void {
    const progress = (this as Answering)[served]?.progress;
    if (progress) progress.drained = true;
  }

  function end(exchange: Watched): void {
    live.delete(exchange);
    (exchange.res as Answering)[served] = undefined;
    if ((exchange.req as Answering)[served]) (exchange.req as Answering)[served] = undefined;
    parts.onEnd(exchange);
  }

  /** Whether an exchange is over of which Node does not say so. */
  function sweepEnd(exchange: Watched, { lingersSince, whole }: Progress): boolean {
    const { res, socket } = exchange;
    // The answer left before the body had arrived: now it will not any more. Requests that have their answer are not told so.
    if (!isHttp2(res) && lingersSince !== undefined && (whole || socket.destroyed)) {
      end(exchange);
      return true;
    }
    // Node forgets to tell responses that wait behind another of their connection, and those to HEAD over HTTP/2.
    const forgotten = isHttp2(res) ? res.stream.destroyed : exchange.queued && socket.destroyed;
    if (!forgotten) return false;
    res.destroy();
    res.emit("close");
    return true;
  }

  return {
    get size() {
      return live.size;
    },

    open({ req, res, socket, requestId, traceId, span, protocol, path, session, queued }) {
      const exchange: Watched = {
        req,
        res,
        socket,
        requestId,
        traceId,
        span,
        protocol,
        path,
        session,
        queued,
        timedOut: false,
        progress: undefined,
        place: -1,
      };
      live.add(exchange);
      (res as Answering)[served] = exchange;
      res.on("close", onClose);
      if (session) res.on("drain", onDrain);
      return exchange;
    },

    sweep() {
      const now = clock.swept;
      for (const exchange of live) {
        const progress = progressOf(exchange);
        progress.whole ||= bodyArrived(exchange.req, exchange.res);
        if (sweepEnd(exchange, progress)) continue;
        if (!progress.whole) {
          if (exchange.session) exchange.session.uploading++;
          bounds.body(exchange, progress, now);
        }
        bounds.answer(exchange, progress, now);
      }
      sweptAt = now;
    },

    [Symbol.iterator]: () => live[Symbol.iterator](),
  };
}
