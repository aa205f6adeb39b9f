// The HTTP/2 half: it gets its sockets handed over and does not listen itself.

import { createServer, type Http2Server, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Socket } from "node:net";
import type { ServerObserver } from "./call.js";
import type { ServerLimits } from "./limits.js";
import type { Sessions } from "./session.js";

/** Speaks HTTP/2 on what it is handed. */
export interface Http2Half {
  /** Speaks HTTP/2 on the socket from here on. */
  readonly take: (socket: Socket) => void;
}

/** `onRequest` gets every request, also what expects `100 Continue`: nothing has been answered yet. */
export function createHttp2(
  parts: {
    onRequest: (req: Http2ServerRequest, res: Http2ServerResponse) => void;
    observer: ServerObserver;
    sessions: Sessions;
  },
  limits: ServerLimits,
): Http2Half {
  const server: Http2Server = createServer({
    settings: {
      maxConcurrentStreams: limits.maxStreams,
      initialWindowSize: limits.streamWindowBytes,
      maxHeaderListSize: limits.maxHeaderBytes,
      enablePush: false,
    },
    // Pseudo-headers count: method, scheme, authority, path.
    maxHeaderListPairs: limits.maxHeaders + 4,
    // Megabytes. What waits to be sent counts: with Node's 10, one large answer has the requests beside it refused.
    maxSessionMemory: 64,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 20,
    maxOutstandingPings: 10,
    maxSettings: 32,
    ...resetLimits,
  });
  let taken: Socket | undefined;
  server.on("session", (session) => {
    if (taken) parts.sessions.add(session, taken);
  });
  server.on("sessionError", (error: NodeJS.ErrnoException) => {
    // Peers that leave were not cut.
    if (error.code !== "ECONNRESET" && error.code !== "EPIPE") parts.observer.cut("session_error");
  });
  server.on("request", parts.onRequest);
  server.on("checkContinue", parts.onRequest);
  server.on("checkExpectation", parts.onRequest);
  server.on("connect", parts.onRequest);
  return {
    take(socket) {
      // As HTTP/2's own server has it: else a session would outlive a peer that has closed its side.
      socket.allowHalfOpen = false;
      taken = socket;
      // Sessions begin, and tell so, before this returns.
      server.emit("connection", socket);
      taken = undefined;
    },
  };
}

// Newer Node only: 20 does not know them, session.ts counts for it.
const resetLimits: { readonly streamResetBurst: number; readonly streamResetRate: number } = {
  streamResetBurst: 200,
  streamResetRate: 20,
};
