// The HTTP/2 sessions, and what bounds them. Node has no timers and few limits of its own for them.

import { constants, type Http2Session, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { CutReason, ServerObserver } from "./call.js";
import type { ServerLimits } from "./limits.js";
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

/** A session, and what the sweep remembers of it. */
interface Watched extends Session {
  uploads: number;
  readonly openedAt: number;
  /** Streams now, and all there ever were. */
  live: number;
  opened: number;
  /** Since when there are no streams. */
  idleSince: number;
  closedAt: number | undefined;

  /** As of the last sweep. */
  openedBefore: number;
  bytesBefore: number;
  writtenBefore: number;
  /** What was sent between the last sweep and the one before. */
  sentBefore: number;

  /** It has shown, since anything came from it, that it is not in the middle of something. */
  settled: boolean;

  /** When the peer was last asked for a sign of life; `unanswered` until it gives one. */
  pingedAt: number;
  unanswered: "idle" | "busy" | undefined;
  bytesAtPing: number;

  /** What ended within the current window. */
  windowFrom: number;
  windowEnded: number;
  windowResets: number;
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

/**
 * Of what a peer was sent of late, the share that it may send as control frames, beside what it may send anyway: who reads a
 * large answer fast says so with two window updates of 13 bytes for each few kilobytes, or for each small frame. What is
 * answered in kind, as pings are, gains a flood a third at most.
 */
const answeredShare = 1 / 8;

/** Watches sessions. Deadlines and floods are looked at in `sweep`; resets as they come. */
export function createSessions(parts: { clock: SweepClock; observer: ServerObserver }, limits: ServerLimits): Sessions {
  const sessions = new Map<ServerHttp2Session, Watched>();
  const { clock } = parts;
  let closing = false;

  function destroy(session: Watched, reason: CutReason, code: number = constants.NGHTTP2_ENHANCE_YOUR_CALM): void {
    parts.observer.cut(reason);
    session.http2.destroy(undefined, code);
  }

  /** Asks for a sign of life. A peer in the middle of a header block cannot give any. */
  function ping(session: Watched, now: number): void {
    session.pingedAt = now;
    session.unanswered = session.live > 0 ? "busy" : "idle";
    session.bytesAtPing = session.socket.bytesRead;
    session.http2.ping((error) => {
      if (error) return;
      session.unanswered = undefined;
      session.settled = true;
      session.bytesBefore = session.socket.bytesRead;
    });
  }

  function streamEnded(session: Watched, code: number): void {
    if (--session.live === 0) session.idleSince = clock.swept;
    if (clock.swept - session.windowFrom >= limits.resetWindowMs) {
      session.windowFrom = clock.swept;
      session.windowEnded = 0;
      session.windowResets = 0;
    }
    session.windowEnded++;
    if (code === constants.NGHTTP2_NO_ERROR) return;
    // Callers that multiplex many users cancel a lot, but they also finish a lot.
    const mostly = ++session.windowResets * 2 >= session.windowEnded;
    if (session.windowResets > limits.maxResets && mostly && !session.http2.destroyed) {
      destroy(session, "session_resets");
    }
  }

  function sweepSession(session: Watched): void {
    const now = clock.swept;
    const { http2, socket } = session;
    if (http2.closed || http2.destroyed) {
      // A peer that does not close its side would hold the connection for ever.
      session.closedAt ??= now;
      if (session.live === 0 && now - session.closedAt >= limits.lingerMs) socket.destroy();
      if (http2.destroyed) return;
    }
    if (session.opened === 0 && now - session.openedAt >= limits.headMs) {
      return destroy(session, "session_unused", constants.NGHTTP2_NO_ERROR);
    }
    const received = socket.bytesRead - session.bytesBefore;
    const streams = session.opened - session.openedBefore;
    const uploads = session.uploads + session.uploading;
    const sent = Math.max(0, bytesWritten(socket) - session.writtenBefore);
    const mayAnswer = (sent + session.sentBefore) * answeredShare;
    session.writtenBefore += sent;
    session.sentBefore = sent;
    session.bytesBefore = socket.bytesRead;
    session.openedBefore = session.opened;
    session.uploads = session.uploading;
    session.uploading = 0;
    const controlBytes = (limits.maxControlBytesPerSecond * clock.elapsedMs) / 1000 + mayAnswer;
    if (streams === 0 && uploads === 0 && received > controlBytes) return destroy(session, "session_flood");

    if (session.unanswered) {
      // The answer may be stuck behind what the peer is slow to read: then other bytes of the peer count.
      const waitMs = session.unanswered === "idle" ? Math.min(limits.headMs, limits.pingAckMs) : limits.pingAckMs;
      const alive = session.live > 0 && socket.bytesRead !== session.bytesAtPing;
      if (now - session.pingedAt < waitMs) return;
      if (!alive) return destroy(session, "session_dead", constants.NGHTTP2_NO_ERROR);
      session.pingedAt = now;
      session.bytesAtPing = socket.bytesRead;
      return;
    }
    if (http2.closed) return;
    if (session.live === 0 && now - session.idleSince >= limits.sessionIdleMs) {
      parts.observer.cut("session_idle");
      http2.close();
      return;
    }
    // What came last may be a header block without an end, which only its missing end would tell.
    if (received > 0) session.settled = false;
    const doubtful = session.live === 0 && session.opened > 0 && !session.settled;
    if (doubtful || now - session.pingedAt >= limits.pingEveryMs) ping(session, now);
  }

  return {
    get size() {
      return sessions.size;
    },

    add(http2, socket) {
      const now = clock.now();
      const session: Watched = {
        http2,
        socket,
        uploads: 0,
        uploading: 0,
        openedAt: now,
        live: 0,
        opened: 0,
        idleSince: now,
        closedAt: undefined,
        openedBefore: 0,
        bytesBefore: 0,
        writtenBefore: 0,
        sentBefore: 0,
        settled: false,
        pingedAt: now,
        unanswered: undefined,
        bytesAtPing: 0,
        windowFrom: now,
        windowEnded: 0,
        windowResets: 0,
      };
      sessions.set(http2, session);
      // Before Node's own listener, which hands the stream on.
      http2.prependListener("stream", (stream) => {
        session.opened++;
        session.live++;
        // Gone already: it is not handed on.
        if (stream.closed) streamEnded(session, stream.rstCode);
      });
      http2.setLocalWindowSize(limits.connectionWindowBytes);
      http2.on("close", () => sessions.delete(http2));
      if (closing) http2.close();
    },

    of: (http2) => sessions.get(http2 as ServerHttp2Session),

    streamEnded: (session, code) => streamEnded(session as Watched, code),

    sweep() {
      for (const session of sessions.values()) sweepSession(session);
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

/** What left on a connection, which the session writes past its socket. */
function bytesWritten(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly bytesWritten?: number } | null };
  return handle?.bytesWritten ?? 0;
}
