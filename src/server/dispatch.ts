// What every request passes before its handler: the boundary, the guards, the ids of request and trace.

import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import { saysCallerLeft } from "../lib/gone.js";
import type { Log } from "../lib/log.js";
import type { Span } from "../lib/span.js";
import { answerFailure, closeAfter, isGone, isHttp2, isLastAnswered, refuse } from "./answer.js";
import type { RequestHandler, ServerObserver } from "./call.js";
import type { Cors } from "./cors.js";
import type { Exchange, Exchanges } from "./exchange.js";
import { checkHead, isKnownMethod } from "./guards.js";
import type { ServerLimits } from "./limits.js";
import type { NamedResponse } from "./named-response.js";
import { requestIdOf } from "./request-id.js";
import type { Session, Sessions } from "./session.js";
import { type RequestTracer, spanOf, traceOf } from "./trace.js";

/** Who serves what. */
export interface Handlers {
  /** Serves the paths for which `isRpc`. */
  readonly rpc: RequestHandler;
  /** Serves all others. */
  readonly http: RequestHandler;
  isRpc(path: string): boolean;
}

/** Takes every request of both HTTP versions. */
export interface Dispatch {
  (req: HttpRequest, res: HttpResponse): void;
  /** From now on every HTTP/1.1 answer is its connection's last. */
  close(): void;
}

/** Puts guards and boundary in front of the handlers. */
export function createDispatch(
  parts: {
    handlers: Handlers;
    exchanges: Exchanges;
    sessions: Sessions;
    log: Log;
    observer: ServerObserver;
    tracer: RequestTracer | undefined;
    /** Undefined: pages of other origins may not call. */
    cors: Cors | undefined;
  },
  limits: ServerLimits,
): Dispatch {
  const { handlers, exchanges, sessions, log, observer, tracer, cors } = parts;
  let closing = false;

  function failed(exchange: Exchange, error: unknown): void {
    const { req, res, requestId, traceId, protocol, path } = exchange;
    // Callers that leave, and answers given in a handler's place, make handlers fail, too.
    const expected = exchange.timedOut || (isGone(res) && !res.writableFinished) || saysCallerLeft(error);
    if (!expected) observer.failed();
    log[expected ? "debug" : "error"](
      { err: error, requestId, trace_id: traceId, protocol, method: req.method, path },
      "request handler failed",
    );
    answerFailure(res);
  }

  function dispatch(req: HttpRequest, res: HttpResponse): void {
    let session: Session | undefined;
    let socket: Socket | undefined;
    let queued = false;
    if (isHttp2(res)) {
      // Gone already; the session has counted it.
      if (res.stream.closed || !res.stream.session) return;
      session = sessions.of(res.stream.session);
      socket = session?.socket;
    } else {
      socket = req.socket;
      if (socket.destroyed) return;
      queued = res.socket === null;
      if (queued && isLastAnswered(socket)) return;
      if (queued && waiting(socket, 1) > limits.maxPipelined) {
        observer.cut("pipelining");
        socket.destroy();
        return;
      }
      if (closing) closeAfter(res);
    }

    if (!socket) return;
    res.on("error", ignore);

    const { headers } = req;
    const requestId = requestIdOf(headers["x-request-id"]);
    const trace = traceOf(headers.traceparent);
    const { traceId, spanId } = trace;
    headers["x-request-id"] = requestId;
    headers["x-trace"] = traceId;
    if (isHttp2(res)) {
      req.on("error", ignore);
      res.setHeader("x-request-id", requestId);
      res.setHeader("x-trace", traceId);
      res.setHeader("x-trace-span", spanId);
    } else name(res as NamedResponse, requestId, traceId, spanId);
    const url = req.url ?? "";
    const query = url.indexOf("?");
    const path = query < 0 ? url : url.slice(0, query);
    const protocol = session ? "h2" : "h1";
    const span = tracer && spanOf(tracer, headers, trace);
    if (span) describe(span, req, requestId);
    const exchange = exchanges.open({ req, res, socket, requestId, traceId, span, protocol, path, session, queued });

    const preflight = cors?.apply(req, res, path);
    const rpc = handlers.isRpc(path);
    const refusal = checkHead(req, limits.maxHeaders, rpc);
    if (refusal) {
      observer.refused(refusal.reason);
      refuse(res, refusal);
      return;
    }
    if (preflight) {
      span?.discard();
      (res as ServerResponse).writeHead(204).end();
      return;
    }
    if (headers.expect !== undefined && req.httpVersion !== "1.0") (res as ServerResponse).writeContinue();
    // The parser loses what is pipelined behind an upgrade that it is not let make.
    if (headers.upgrade !== undefined) closeAfter(res);

    try {
      const serving = (rpc ? handlers.rpc : handlers.http)(req, res, exchange);
      if (serving) serving.catch((error: unknown) => failed(exchange, error));
    } catch (error) {
      failed(exchange, error);
    }
  }

  return Object.assign(dispatch, {
    close() {
      closing = true;
      for (const { res } of exchanges) if (!res.headersSent) closeAfter(res);
    },
  });
}

const queues = new WeakMap<Socket, number>();

/** How many requests of the connection wait behind the one being answered, after `change`. */
export function waiting(socket: Socket, change: number): number {
  const count = (queues.get(socket) ?? 0) + change;
  queues.set(socket, count);
  return count;
}

/** What is known at once. Neither path nor query: callers may have put anything there, tokens too. */
function describe(span: Span, { method = "", httpVersion }: HttpRequest, requestId: string): void {
  const known = isKnownMethod(method) ? method : "_OTHER";
  span.rename(known);
  span.set({
    "http.request.method": known,
    "network.protocol.version": httpVersion.replace(/\.0$/, ""),
    "cody_gateway.request_id": requestId,
  });
}

function name(res: NamedResponse, requestId: string, traceId: string, spanId: string): void {
  res.requestId = requestId;
  res.traceId = traceId;
  res.spanId = spanId;
}

// A handler's late write, or its early goodbye, is an error event, which nobody else may be listening for.
function ignore(): void {}
