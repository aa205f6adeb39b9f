// What bounds an HTTP/2 session: its peer's silence, resets and floods. Node has no timers and few limits of its own for it.

import { constants, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { CutReason, ServerObserver } from "./call.js";
import type { ServerLimits } from "./limits.js";
import type { Session } from "./session.js";
import type { SweepClock } from "./sweep-clock.js";

/** A session, and what sweeps remember of it. */
export interface WatchedSession extends Session {
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

/** One that begins on the socket. */
export function newSession(http2: ServerHttp2Session, socket: Socket, now: number): WatchedSession {
  return {
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
}

/** Closes what is over its time, or floods. */
export interface SessionLimits {
  /** A stream began. */
  streamBegan(session: WatchedSession): void;
  /** One ended, with this HTTP/2 error code. */
  streamEnded(session: WatchedSession, code: number): void;
  sweep(session: WatchedSession): void;
}

/**
 * Of what a peer was sent of late, the share that it may send as control frames, beside what it may send anyway: who reads a
 * large answer fast says so with two window updates of 13 bytes for each few kilobytes, or for each small frame. What is
 * answered in kind, as pings are, gains a flood a third at most.
 */
const answeredShare = 1 / 8;

/** Resets are looked at as they come, deadlines and floods in `sweep`. */
export function createSessionLimits(
  parts: { readonly clock: SweepClock; readonly observer: ServerObserver },
  limits: ServerLimits,
): SessionLimits {
  const { clock, observer } = parts;

  function destroy(
    session: WatchedSession,
    reason: CutReason,
    code: number = constants.NGHTTP2_ENHANCE_YOUR_CALM,
  ): void {
    observer.cut(reason);
    session.http2.destroy(undefined, code);
  }

  /** Asks for a sign of life. A peer in the middle of a header block cannot give any. */
  function ping(session: WatchedSession, now: number): void {
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

  function streamEnded(session: WatchedSession, code: number): void {
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

  /** Whether more came than a peer has reason to send that neither asks for anything nor uploads. Begins to count anew. */
  function isFlood(session: WatchedSession, received: number): boolean {
    const { socket } = session;
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
    return streams === 0 && uploads === 0 && received > controlBytes;
  }

  /** A sign of life was asked for, and has not come yet. */
  function awaitSign(session: WatchedSession, now: number): void {
    const { socket } = session;
    // The answer may be stuck behind what the peer is slow to read: then other bytes of the peer count.
    const waitMs = session.unanswered === "idle" ? Math.min(limits.headMs, limits.pingAckMs) : limits.pingAckMs;
    const alive = session.live > 0 && socket.bytesRead !== session.bytesAtPing;
    if (now - session.pingedAt < waitMs) return;
    if (!alive) return destroy(session, "session_dead", constants.NGHTTP2_NO_ERROR);
    session.pingedAt = now;
    session.bytesAtPing = socket.bytesRead;
  }

  function sweep(session: WatchedSession): void {
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
    if (isFlood(session, received)) return destroy(session, "session_flood");
    if (session.unanswered) return awaitSign(session, now);
    if (http2.closed) return;
    if (session.live === 0 && now - session.idleSince >= limits.sessionIdleMs) {
      observer.cut("session_idle");
      http2.close();
      return;
    }
    // What came last may be a header block without an end, which only its missing end would tell.
    if (received > 0) session.settled = false;
    const doubtful = session.live === 0 && session.opened > 0 && !session.settled;
    if (doubtful || now - session.pingedAt >= limits.pingEveryMs) ping(session, now);
  }

  return {
    streamBegan(session) {
      session.opened++;
      session.live++;
    },
    streamEnded,
    sweep,
  };
}

/** What left on a connection, which the session writes past its socket. */
function bytesWritten(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly bytesWritten?: number } | null };
  return handle?.bytesWritten ?? 0;
}
