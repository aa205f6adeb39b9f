// Tells HTTP/2 with prior knowledge from HTTP/1.1 on one plaintext port, by the first bytes.

import type { Socket } from "node:net";
import { createShortLivedMap } from "../lib/short-lived.js";
import type { CutReason } from "./call.js";
import type { SweepClock } from "./sweep-clock.js";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The connections whose protocol is not known yet. */
export interface Sniffer {
  /** Takes a new connection, and hands it on once its first bytes say what it speaks. */
  accept(socket: Socket): void;
  /** Closes what has been undecided for too long. */
  sweep(): void;
  /** Closes the connections that have not sent anything. */
  closeSilent(): void;
}

interface Undecided {
  readonly socket: Socket;
  /** How many came before. */
  readonly number: number;
  readonly since: number;
  /** What was read so far: a true beginning of the preface. */
  head: Buffer | undefined;
}

const undecidedState = Symbol("undecided");
type Sniffed = Socket & { [undecidedState]?: Undecided | undefined };

/** Waits for first bytes. `onHttp1` and `onHttp2` get the socket with nothing read from it. */
export function createSniffer(
  parts: {
    onHttp1(socket: Socket): void;
    onHttp2(socket: Socket): void;
    onCut(reason: CutReason): void;
    readonly clock: SweepClock;
  },
  limits: { readonly prefaceMs: number; readonly maxUndecided: number },
): Sniffer {
  // In order of arrival, so the oldest are first.
  const undecided = createShortLivedMap<number, Undecided>();
  let arrived = 0;

  function forget(socket: Sniffed): void {
    const state = socket[undecidedState];
    if (state) undecided.delete(state.number);
    socket[undecidedState] = undefined;
    socket.off("readable", onReadable);
    socket.off("end", onLeave);
    socket.off("error", onLeave);
    socket.off("close", onLeave);
  }

  // Shared by all sockets, hence `this`.
  function onLeave(this: Socket): void {
    forget(this);
    this.destroy();
  }

  function onReadable(this: Socket): void {
    const state = (this as Sniffed)[undecidedState];
    const chunk = this.read() as Buffer | null;
    if (!state || !chunk) return;
    // The preface may come in pieces, and `P` begins POST, PUT and PATCH too: wait while it can still become either.
    const head = state.head ? Buffer.concat([state.head, chunk]) : chunk;
    const compared = Math.min(head.length, preface.length);
    const same = head.compare(preface, 0, compared, 0, compared) === 0;
    if (same && compared < preface.length) {
      state.head = head;
      return;
    }
    forget(this);
    this.unshift(head);
    if (same) parts.onHttp2(this);
    else parts.onHttp1(this);
  }

  function cut(socket: Socket, reason: CutReason): void {
    forget(socket);
    socket.destroy();
    parts.onCut(reason);
  }

  return {
    accept(socket) {
      if (undecided.size >= limits.maxUndecided) {
        // Who means to speak has spoken by now.
        for (const { socket: oldest } of undecided.values()) {
          cut(oldest, "undecided_limit");
          break;
        }
      }
      const state = { socket, number: arrived++, since: parts.clock.now(), head: undefined };
      undecided.set(state.number, state);
      (socket as Sniffed)[undecidedState] = state;
      socket.on("readable", onReadable);
      socket.on("end", onLeave);
      socket.on("error", onLeave);
      socket.on("close", onLeave);
    },

    sweep() {
      const now = parts.clock.swept;
      for (const { socket, since } of undecided.values()) {
        if (now - since < limits.prefaceMs) break;
        cut(socket, "preface_timeout");
      }
    },

    closeSilent() {
      for (const { socket, head } of undecided.values()) {
        if (head) continue;
        forget(socket);
        socket.destroy();
      }
    },
  };
}
