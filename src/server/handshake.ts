import type { Socket } from "node:net";

/** The connections whose TLS handshake is not done. Its deadline is the TLS server's own. */
export interface Handshakes {
  /** A connection came in. Of too many, the oldest is closed: who means to speak has spoken by now. */
  began(raw: Socket): void;
  /** Its handshake is done. `secure` wraps the connection and has its addresses. */
  done(secure: Socket): void;
}

/** Keeps count. `onTooMany` is told of each connection closed for others. */
export function createHandshakes(onTooMany: () => void, limits: { readonly maxUndecided: number }): Handshakes {
  // In order of arrival.
  const pending = new Map<string, Socket>();
  return {
    began(raw) {
      if (pending.size >= limits.maxUndecided) {
        for (const [key, oldest] of pending) {
          pending.delete(key);
          oldest.destroy();
          onTooMany();
          break;
        }
      }
      const key = peerOf(raw);
      pending.set(key, raw);
      raw.once("close", () => {
        if (pending.get(key) === raw) pending.delete(key);
      });
    },
    done(secure) {
      pending.delete(peerOf(secure));
    },
  };
}

/** Node does not say which connection a TLS socket wraps; on one port, the peer's address and port do. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
