// One port for HTTP/1.1, HTTP/2 with prior knowledge and, with a certificate, TLS.

import type { Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { UnavailableError } from "../errors.js";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import type { Log } from "../lib/log.js";
import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import { isHttp2 } from "./answer.js";
import type { ServerObserver } from "./call.js";
import type { Cors } from "./cors.js";
import { createDispatch, type Handlers, waiting } from "./dispatch.js";
import { createDrain, type DrainOptions } from "./drain.js";
import { createExchanges } from "./exchange.js";
import { createHandshakes } from "./handshake.js";
import { createHttp1 } from "./http1.js";
import { createHttp2 } from "./http2.js";
import { type ServerLimits, serverLimits } from "./limits.js";
import { createSessions } from "./session.js";
import { createSniffer } from "./sniff.js";
import { createSweepClock } from "./sweep-clock.js";
import { type CertificateFiles, readCertificate, watchCertificate } from "./tls.js";
import type { RequestTracer } from "./trace.js";

/** A server on one port. */
export interface Listener {
  /** Resolves with the port, which is one that is free where 0 was asked for. Rejects when it cannot be had. */
  listen(port: number, host?: string): Promise<number>;
  readonly connections: number;
  /** Requests being served. */
  readonly requests: number;
  /** A drain has begun: readiness is to say no. */
  readonly draining: boolean;
  /**
   * Leaves in order: accepts for `delayMs` more, then asks clients to go and lets what runs finish for `timeoutMs`, then aborts
   * `hardStop`, and ends everything a second later. `clean` when nothing was cut. A second call can only shorten. Never rejects.
   */
  drain(options: DrainOptions): Promise<"clean" | "cut">;
  /** Aborted when a drain has run into its deadline, and on `close`: handlers wind up now. */
  readonly hardStop: AbortSignal;
  /** Ends everything at once. */
  close(): Promise<void>;
}

/** How it listens; `limits` over the defaults of `serverLimits`. */
export interface ListenerOptions {
  /** Serve TLS, HTTP/2 and HTTP/1.1 by ALPN. The files are read again when they change. */
  readonly tls?: CertificateFiles | undefined;
  /** How often to look whether they changed. Default 10 s. */
  readonly tlsReloadMs?: number;
  readonly limits?: Partial<ServerLimits>;
}

/** A connection. */
interface Connected extends Placed {
  readonly socket: Socket;
}

const silent: ServerObserver = { refused() {}, cut() {}, ended() {}, failed() {} };

/** Makes a server that is not listening yet. Throws when the certificate cannot be used. */
export function createListener(
  parts: Handlers & {
    log: Log;
    observer?: ServerObserver;
    tracer?: RequestTracer | undefined;
    cors?: Cors | undefined;
  },
  options: ListenerOptions = {},
): Listener {
  const { log, observer = silent, tracer, cors } = parts;
  const limits = serverLimits(options.limits);
  const hardStop = new AbortController();
  const sockets = createShortLivedSet<Connected>();

  const clock = createSweepClock(limits.sweepMs);
  const sessions = createSessions({ clock, observer }, limits);
  const exchanges = createExchanges(
    {
      clock,
      observer,
      onEnd({ res, socket, path, session, queued }) {
        observer.ended(path, res.headersSent ? res.statusCode : undefined);
        if (session && isHttp2(res)) sessions.streamEnded(session, res.stream.rstCode);
        if (queued) waiting(socket, -1);
      },
    },
    limits,
  );
  const dispatch = createDispatch({ handlers: parts, exchanges, sessions, log, observer, tracer, cors }, limits);
  const onRequest = (req: HttpRequest, res: HttpResponse): void => dispatch(req, res);
  const http2 = createHttp2({ onRequest, observer, sessions }, limits);
  const certificate = options.tls && readCertificate(options.tls);
  const handshakes = createHandshakes(() => observer.cut("undecided_limit"), limits);
  const http1 = createHttp1({ onConnection, onRequest, observer, clock }, limits, certificate);
  const sniffer = createSniffer(
    { onHttp1: http1.take, onHttp2: http2.take, onCut: (reason) => observer.cut(reason), clock },
    limits,
  );
  const { server } = http1;

  function onConnection(socket: Socket): void {
    if (!certificate) return sniffer.accept(socket);
    handshakes.done(socket);
    if ((socket as TLSSocket).alpnProtocol === "h2") http2.take(socket);
    else http1.take(socket);
  }

  server.prependListener("connection", (socket: Socket) => {
    const connected: Connected = { socket, place: -1 };
    sockets.add(connected);
    socket.once("close", () => sockets.delete(connected));
    if (certificate) handshakes.began(socket);
  });
  // Out of files, for one: accepting goes on when there are some again.
  server.on("error", (error) => log.error({ err: error }, "listener failed"));

  const stopWatching = options.tls
    ? watchCertificate(
        options.tls,
        { apply: (renewed) => (server as TlsServer).setSecureContext({ ...renewed }), log },
        options.tlsReloadMs ?? 10_000,
      )
    : undefined;

  const sweep = setInterval(() => {
    clock.advance();
    sniffer.sweep();
    // Before the sessions: it counts what they receive.
    exchanges.sweep();
    sessions.sweep();
    http1.sweep();
  }, limits.sweepMs);
  sweep.unref();

  function stop(): void {
    dispatch.close();
    http1.stopListening();
    sniffer.closeSilent();
    sessions.close();
  }

  /** Closes the HTTP/1.1 connections between two requests. Tells how many connections are left, of all. */
  function settle(): number {
    // Node takes an answer that is written but not sent for done, and would cut it.
    let unsent = false;
    for (const { res } of exchanges) unsent ||= !isHttp2(res) && res.writableEnded && !res.writableFinished;
    if (!unsent) server.closeIdleConnections();
    if (sockets.size === 0) release();
    return sockets.size;
  }

  function abort(): void {
    hardStop.abort(new UnavailableError("DRAINING", "server is shutting down", 1000));
  }

  function destroy(): void {
    sessions.destroyAll();
    for (const { socket } of sockets) socket.destroy();
    release();
  }

  function release(): void {
    clearInterval(sweep);
    stopWatching?.();
    // Listening has ended; this ends http's timer.
    server.close();
  }

  const drain = createDrain(
    {
      steps: {
        stop,
        settle,
        hardStop() {
          for (const _ of exchanges) observer.cut("drain");
          abort();
        },
        destroy,
      },
      log,
    },
    limits,
  );

  return {
    listen(port, host) {
      return new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen({ port, host, backlog: 4096 }, () => {
          server.off("error", reject);
          resolve((server.address() as AddressInfo).port);
        });
      });
    },
    get connections() {
      return sockets.size;
    },
    get requests() {
      return exchanges.size;
    },
    get draining() {
      return drain.begun;
    },
    drain: (times) => drain.run(times),
    hardStop: hardStop.signal,
    close() {
      const closed = server.listening
        ? new Promise<void>((resolve) => server.once("close", () => resolve()))
        : undefined;
      http1.stopListening();
      abort();
      destroy();
      return closed ?? Promise.resolve();
    },
  };
}
