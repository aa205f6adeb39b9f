// The requests being served, each with its answer, and what bounds them: slow bodies, readers that stall, peers that linger.
// One sweep looks at all of them: requests carry no timers of their own.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { Socket } from "node:net";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import { isHttp2, refuse } from "./answer.js";
import type { RequestCall, ServerObserver } from "./call.js";
import { bodyTimeout } from "./guards.js";
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
/** An answer, and what it is the answer of. */
type Answering = HttpResponse & { [served]?: Watched | undefined };

/** What the sweep remembers of an exchange. All times are those of sweeps. */
interface Progress {
  readonly startedAt: number;
  /** The request's body has arrived. */
  whole: boolean;
  /** What the connection had received when the body was first waited for. */
  bytesBefore: number | undefined;
  /** When the answer had left while the body had not arrived. */
  lingersSince: number | undefined;
  /** How far sending was at the last sweep; HTTP/2: how much was left to send. */
  sendMark: number;
  /** The response has drained since the last sweep. */
  drained: boolean;
  /** When bytes to send last moved; undefined while there are none. */
  movedAt: number | undefined;
}

/** All requests being served. */
export interface Exchanges {
  readonly size: number;
  /** Begins to watch a request. */
  open(exchange: Omit<Exchange, "timedOut">): Exchange;
  /** Ends what is over its time. */
  sweep(): void;
  [Symbol.iterator](): Iterator<Exchange>;
}

// Progress within a chunk that is already with HTTP/2 cannot be seen: chunks above this get time by their size.
const largeChunk = 1024 * 1024;

/** Watches requests. `onEnd` is told of each once, when its answer is over and its body has arrived or been given up. */
export function createExchanges(
  parts: { clock: SweepClock; observer: ServerObserver; onEnd(exchange: Exchange): void },
  limits: ServerLimits,
): Exchanges {
  const { clock } = parts;
  const live = createShortLivedSet<Watched>();
  // When the last sweep was: what it did not meet began after it.
  let sweptAt = clock.swept;

  function progressOf(exchange: Watched): Progress {
    return (exchange.progress ??= {
      startedAt: sweptAt,
      whole: false,
      bytesBefore: undefined,
      lingersSince: undefined,
      sendMark: 0,
      drained: false,
      movedAt: undefined,
    });
  }

  // Shared by all responses, hence `this`.
  function onClose(this: HttpResponse): void {
    const exchange = (this as Answering)[served];
    if (!exchange) return;
    if (exchange.span) endSpan(exchange.span, this);
    if (!isHttp2(this) && !exchange.req.complete && !exchange.socket.destroyed) {
      // Answered before its body has arrived: the connection is busy until it has.
      progressOf(exchange).lingersSince ??= clock.swept;
      exchange.req.resume();
      return;
    }
    end(exchange);
  }

  function onDrain(this: HttpResponse): void {
    const progress = (this as Answering)[served]?.progress;
    if (progress) progress.drained = true;
  }

  function end(exchange: Watched): void {
    live.delete(exchange);
    (exchange.res as Answering)[served] = undefined;
    parts.onEnd(exchange);
  }

  /** Whether an exchange is over of which Node does not say so. */
  function sweepEnd(exchange: Watched, { lingersSince, whole }: Progress): boolean {
    const { res, socket } = exchange;
    // The answer left before the body had arrived: now it has, or will not any more.
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

  function sweepBody(exchange: Watched, progress: Progress, now: number): void {
    const { req, res, socket } = exchange;
    if (socket.destroyed) return;
    if (res.writableEnded) {
      if (bytesToSend(res) > 0) return;
      progress.lingersSince ??= now;
      if (now - progress.lingersSince >= limits.lingerMs) cut(exchange);
      return;
    }
    // An answer that has begun is bounded by its own progress; bytes not yet read are ours to read.
    if (res.headersSent || req.readableLength > 0) return;
    progress.bytesBefore ??= socket.bytesRead;
    const uploads = exchange.session?.uploads || 1;
    const creditMs = ((socket.bytesRead - progress.bytesBefore) / uploads / limits.minBytesPerSecond) * 1000;
    if (now - progress.startedAt < Math.min(limits.bodyMs + creditMs, limits.bodyMaxMs)) return;
    parts.observer.refused(bodyTimeout.reason);
    exchange.timedOut = true;
    refuse(res, bodyTimeout);
  }

  function sweepAnswer(exchange: Watched, progress: Progress, now: number): void {
    const { res } = exchange;
    const left = bytesToSend(res);
    // An HTTP/2 stream that was ended has its end to send, too.
    if (left === 0 && !(isHttp2(res) && res.writableEnded)) {
      progress.movedAt = undefined;
      return;
    }
    const mark = isHttp2(res) ? left : bytesSent(res);
    const moved = isHttp2(res) ? progress.drained || mark < progress.sendMark : mark !== progress.sendMark;
    progress.drained = false;
    progress.sendMark = mark;
    if (moved || progress.movedAt === undefined) {
      progress.movedAt = now;
      return;
    }
    const extraMs = isHttp2(res) ? (Math.max(0, left - largeChunk) / limits.minBytesPerSecond) * 1000 : 0;
    if (now - progress.movedAt < limits.writeStallMs + extraMs) return;
    parts.observer.cut("write_stall");
    cut(exchange);
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
          sweepBody(exchange, progress, now);
        }
        sweepAnswer(exchange, progress, now);
      }
      sweptAt = now;
    },

    [Symbol.iterator]: () => live[Symbol.iterator](),
  };
}

function bodyArrived(req: HttpRequest, res: HttpResponse): boolean {
  if (!isHttp2(res)) return (req as IncomingMessage).complete;
  const { stream } = req as Http2ServerRequest;
  return stream.endAfterHeaders || stream.destroyed || stream.state.remoteClose === 1;
}

function bytesToSend(res: HttpResponse): number {
  if (isHttp2(res)) return res.stream.destroyed ? 0 : res.stream.bufferSize;
  // Without a socket it waits behind another response of its connection, or is done.
  return res.socket ? res.writableLength : 0;
}

/** Bytes of the connection that have left. Rises while a chunk is being sent, too: net.Socket's own timeouts look there. */
function bytesSent(res: ServerResponse): number {
  const socket = res.socket as Socket & { readonly _handle?: { readonly writeQueueSize?: number } | null };
  const { _handle: handle } = socket;
  return socket.bytesWritten - socket.writableLength - (handle?.writeQueueSize ?? 0);
}

function cut({ res, socket }: Exchange): void {
  if (!isHttp2(res)) {
    socket.destroy();
    return;
  }
  // The code must be an error, or the peer takes the response for whole. The stream must end even when nothing can be sent.
  res.stream.close(res.writableEnded && bytesToSend(res) === 0 ? 0 : 2);
  res.stream.destroy();
}
