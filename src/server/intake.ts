// What comes in by one port: connections of both HTTP versions, with a certificate inside TLS, and their requests.

import type { Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import type { Log } from "../lib/log.js";
import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import { isHttp2 } from "./answer.js";
import type { ServerObserver } from "./call.js";
import type { Cors } from "./cors.js";
import { createDispatch, type Handlers, waiting } from "./dispatch.js";
import { createExchanges } from "./exchange.js";
import { createHandshakes } from "./handshake.js";
import { createHttp1 } from "./http1.js";
import { createHttp2 } from "./http2.js";
import type { ServerLimits } from "./limits.js";
import { createSessions } from "./session.js";
import { createSniffer } from "./sniff.js";
import { createSweepClock } from "./sweep-clock.js";
import { type CertificateFiles, readCertificate, watchCertificate } from "./tls.js";
import type { RequestTracer } from "./trace.js";

/** Connections and requests. */
export interface Intake {
  /** Resolves with the port, which is one that is free where 0 was asked for. Rejects when it cannot be had. */
  listen(port: number, host?: string): Promise<number>;
  /** Takes no more connections. Resolves once the port is free. */
  stopListening(): Promise<void>;
  readonly connections: number;
  readonly requests: number;
  /** Stops listening and lets connections end with what they are doing. */
  stop(): void;
  /** Closes the HTTP/1.1 connections between two requests. Tells how many connections are left, of all. */
  settle(): number;
  /** Ends everything, without asking. */
  destroy(): void;
}

export interface IntakeParts {
  readonly handlers: Handlers;
  readonly log: Log;
  readonly observer: ServerObserver;
  readonly tracer: RequestTracer | undefined;
  readonly cors: Cors | undefined;
}

export interface IntakeOptions {
  readonly limits: ServerLimits;
  readonly tls: CertificateFiles | undefined;
  readonly tlsReloadMs: number;
}

/** A connection. */
interface Connected extends Placed {
  readonly socket: Socket;
}

/** Throws when the certificate cannot be used. */
export function createIntake(parts: IntakeParts, { limits, tls, tlsReloadMs }: IntakeOptions): Intake {
  const { log, observer } = parts;
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
  const dispatch = createDispatch({ ...parts, exchanges, sessions }, limits);
  const onRequest = (req: HttpRequest, res: HttpResponse): void => dispatch(req, res);
  const http2 = createHttp2({ onRequest, observer, sessions }, limits);
  const certificate = tls && readCertificate(tls);
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

  const stopWatching = tls
    ? watchCertificate(
        tls,
        { apply: (renewed) => (server as TlsServer).setSecureContext({ ...renewed }), log },
        tlsReloadMs,
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

  function settle(): number {
    // Node takes an answer that is written but not sent for done, and would cut it.
    let unsent = false;
    for (const { res } of exchanges) unsent ||= !isHttp2(res) && res.writableEnded && !res.writableFinished;
    if (!unsent) server.closeIdleConnections();
    if (sockets.size === 0) release();
    return sockets.size;
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
    stopListening() {
      const closed = server.listening
        ? new Promise<void>((resolve) => server.once("close", () => resolve()))
        : Promise.resolve();
      http1.stopListening();
      return closed;
    },
    get connections() {
      return sockets.size;
    },
    get requests() {
      return exchanges.size;
    },
    stop,
    settle,
    destroy,
  };
}
