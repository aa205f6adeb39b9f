// The HTTP/1.1 half: the server that listens. Its timeouts work only where it does so itself, hence new connections are taken
// from it and handed back to it, rather than the other way round.

import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type Socket, Server as TcpServer } from "node:net";
import { isGone, refusalBytes } from "./answer.js";
import type { ServerObserver } from "./call.js";
import { badRequest, headTimeout, headTooLarge, methodNotAllowed, type Refusal } from "./guards.js";
import type { ServerLimits } from "./limits.js";
import { NamedResponse } from "./named-response.js";
import { newRequestId } from "./request-id.js";
import type { SweepClock } from "./sweep-clock.js";
import type { Certificate } from "./tls.js";

/** The server that listens, and speaks HTTP/1.1 on what it is handed back. */
export interface Http1Half {
  /** The server that listens. */
  readonly server: Server;
  /** Speaks HTTP/1.1 on the socket from here on. */
  readonly take: (socket: Socket) => void;
  /** Stops listening. Connections and their timeouts stay. */
  stopListening(): void;
  /** Closes what has lingered for long enough. */
  sweep(): void;
}

/**
 * `onConnection` gets every new connection, with TLS once its handshake is done. `onRequest` gets every request, also what
 * expects `100 Continue`: nothing has been answered yet.
 */
export function createHttp1(
  parts: {
    onConnection: (socket: Socket) => void;
    onRequest: (req: IncomingMessage, res: ServerResponse) => void;
    observer: ServerObserver;
    clock: SweepClock;
  },
  limits: ServerLimits,
  certificate?: Certificate,
): Http1Half {
  const options: ServerOptions<typeof IncomingMessage, typeof NamedResponse> = {
    ServerResponse: NamedResponse,
    connectionsCheckingInterval: Math.min(1000, limits.sweepMs),
    headersTimeout: limits.headMs,
    // Bodies have their own rule, which lets large ones take longer; this is its upper bound.
    requestTimeout: Math.max(limits.bodyMaxMs, limits.headMs),
    keepAliveTimeout: limits.keepAliveMs,
    maxHeaderSize: limits.maxHeaderBytes,
    keepAlive: true,
    keepAliveInitialDelay: 15_000,
    insecureHTTPParser: false,
    joinDuplicateHeaders: false,
    // The guards say so, in our words.
    requireHostHeader: false,
  };
  const server: Server = certificate
    ? createTlsServer({
        ...options,
        ...certificate,
        ALPNProtocols: ["h2", "http/1.1"],
        handshakeTimeout: limits.handshakeMs,
      })
    : createServer(options);
  server.timeout = 0;
  // Any other figure than none drops headers in silence. The guards count them.
  server.maxHeadersCount = 0;
  server.maxConnections = limits.maxConnections;

  const connected = certificate ? "secureConnection" : "connection";
  const speakHttp1 = server.listeners(connected) as ((socket: Socket) => void)[];
  server.removeAllListeners(connected);
  server.on(connected, parts.onConnection);
  server.on("drop", () => parts.observer.cut("connection_limit"));

  server.on("request", parts.onRequest);
  server.on("checkContinue", parts.onRequest);
  server.on("checkExpectation", parts.onRequest);
  server.on("connect", (_req: IncomingMessage, socket: Socket) => refuseRaw(socket, methodNotAllowed));

  // Connections that got their last answer and are read to their end, or to a deadline, so that the peer sees the answer.
  const lingering = new Map<Socket, number>();

  function refuseRaw(socket: Socket, refusal: Refusal): void {
    parts.observer.refused(refusal.reason);
    lingering.set(socket, parts.clock.now());
    socket.on("close", () => lingering.delete(socket));
    socket.on("error", ignore);
    socket.end(refusalBytes(refusal, newRequestId()));
  }

  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    // What comes after the malformed part is malformed too.
    if (lingering.has(socket)) return;
    const { _httpMessage: answering } = socket as Socket & { readonly _httpMessage?: ServerResponse | null };
    const lost = error.code === "ECONNRESET" || error.code === "EPIPE" || !socket.writable;
    // In the middle of an answer no other answer can be given.
    if (lost || answering?.headersSent) {
      socket.destroy();
      return;
    }
    refuseRaw(socket, refusalOf(error));
    if (answering && !isGone(answering)) socket.destroySoon();
  });

  if (certificate) {
    server.removeAllListeners("tlsClientError");
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: Socket) => {
      // Peers that leave were not cut.
      if (error.code !== "ECONNRESET") parts.observer.cut("handshake");
      socket.destroy();
    });
  }

  return {
    server,
    take(socket) {
      for (const listener of speakHttp1) listener.call(server, socket);
    },
    stopListening() {
      // Not http's own close: it ends the timeouts of connections that live on, and cuts answers that are not yet sent.
      TcpServer.prototype.close.call(server);
    },
    sweep() {
      const now = parts.clock.swept;
      for (const [socket, since] of lingering) {
        if (now - since < limits.lingerMs) break;
        lingering.delete(socket);
        socket.destroy();
      }
    },
  };
}

function refusalOf(error: NodeJS.ErrnoException): Refusal {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return headTooLarge;
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return headTimeout;
    default:
      return badRequest;
  }
}

function ignore(): void {}
