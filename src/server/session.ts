// The HTTP/2 sessions.

import type { Http2Session, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { ServerObserver } from "./call.js";
import type { ServerLimits } from "./limits.js";
import { createSessionLimits, newSession, type WatchedSession } from "./session-limits.js";
import type { SweepClock } from "./sweep-clock.js";

/** One HTTP/2 connection. */
export interface Session {
  readonly http2: ServerHttp2Session;
  readonly socket: Socket;
  /** Requests whose body was still arriving at the last sweep. */
  readonly uploads: number;
  /** The same, being counted by the sweep that runs. */
  uploading: number;
}

/** All HTTP/2 connections. */
export interface Sessions {
  readonly size: number;
  /** A session begins on the socket. */
  add(http2: ServerHttp2Session, socket: Socket): void;
  /** Its record. */
  of(http2: Http2Session): Session | undefined;
  /** A stream that was handed on ended, with this HTTP/2 error code. */
  streamEnded(session: Session, code: number): void;
  /** Closes what is over its time, or floods. After that of the exchanges, which counts uploads. */
  sweep(): void;
  /** Tells all sessions to open no more streams; new ones too, from now on. */
  close(): void;
  destroyAll(): void;
}

/** Watches sessions. Deadlines and floods are looked at in `sweep`; resets as they come. */
export function createSessions(parts: { clock: SweepClock; observer: ServerObserver }, limits: ServerLimits): Sessions {
  const sessions = new Map<ServerHttp2Session, WatchedSession>();
  const { clock } = parts;
  const bounds = createSessionLimits(parts, limits);
  let closing = false;

  return {
    get size() {
      return sessions.size;
    },

    add(http2, socket) {
      const session = newSession(http2, socket, clock.now());
      sessions.set(http2, session);
      // Before Node's own listener, which hands the stream on.
      http2.prependListener("stream", (stream) => {
        bounds.streamBegan(session);
        // Gone already: it is not handed on.
        if (stream.closed) bounds.streamEnded(session, stream.rstCode);
      });
      http2.setLocalWindowSize(limits.connectionWindowBytes);
      http2.on("close", () => sessions.delete(http2));
      if (closing) http2.close();
    },

    of: (http2) => sessions.get(http2 as ServerHttp2Session),

    streamEnded: (session, code) => bounds.streamEnded(session as WatchedSession, code),

    sweep() {
      for (const session of sessions.values()) bounds.sweep(session);
    },

    close() {
      closing = true;
      for (const { http2 } of sessions.values()) http2.close();
    },

    destroyAll() {
      for (const { http2, socket } of sessions.values()) {
        http2.destroy();
        socket.destroy();
      }
    },
  };
}
