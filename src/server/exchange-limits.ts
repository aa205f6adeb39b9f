// What bounds a request and its answer: slow bodies, readers that stall, peers that linger. Node has few limits of its own here.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { Socket } from "node:net";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import { isHttp2, refuse } from "./answer.js";
import type { ServerObserver } from "./call.js";
import type { Exchange } from "./exchange.js";
import { bodyTimeout } from "./guards.js";
import type { ServerLimits } from "./limits.js";

/** What sweeps remember of an exchange. All times are those of sweeps. */
export interface Progress {
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

/** Of an exchange that began after `startedAt`. */
export function newProgress(startedAt: number): Progress {
  return {
    startedAt,
    whole: false,
    bytesBefore: undefined,
    lingersSince: undefined,
    sendMark: 0,
    drained: false,
    movedAt: undefined,
  };
}

/** Ends what is over its time. */
export interface ExchangeLimits {
  /** A request whose body has not arrived. */
  body(exchange: Exchange & { timedOut: boolean }, progress: Progress, now: number): void;
  /** An answer, begun or not. */
  answer(exchange: Exchange, progress: Progress, now: number): void;
}

// Progress within a chunk that is already with HTTP/2 cannot be seen: chunks above this get time by their size.
const largeChunk = 1024 * 1024;

/** What a sweep asks of each exchange. */
export function createExchangeLimits(parts: { observer: ServerObserver }, limits: ServerLimits): ExchangeLimits {
  const { observer } = parts;

  return {
    body(exchange, progress, now) {
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
      observer.refused(bodyTimeout.reason);
      exchange.timedOut = true;
      refuse(res, bodyTimeout);
    },

    answer(exchange, progress, now) {
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
      observer.cut("write_stall");
      cut(exchange);
    },
  };
}

/** Whether all of a request is there. */
export function bodyArrived(req: HttpRequest, res: HttpResponse): boolean {
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
