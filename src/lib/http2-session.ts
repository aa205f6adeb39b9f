// One HTTP/2 connection to a server, opened when it is needed and again when it is gone.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
  connect as connectHttp2,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";

/** What transports of connect-node take as `sessionManager`. */
export interface Http2SessionKeeper {
  /** `https://portal.example.com` */
  readonly authority: string;
  request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Omit<ClientSessionRequestOptions, "signal">,
  ): Promise<ClientHttp2Stream>;
  /** Something was received: the connection is alive. */
  notifyResponseByteRead(stream: ClientHttp2Stream): void;
  /** Ends the connection and what runs on it. It is opened again by the next request. */
  close(): void;
}

export interface Http2SessionOptions {
  /** Time to connect, TLS included. Default 3 s: the system's own patience is minutes. */
  readonly connectTimeoutMs?: number;
  /** A connection that was silent for longer is asked for a sign of life before it is used. Default 5 s. */
  readonly verifyAfterMs?: number;
  /** Time for that sign. Default 2 s. */
  readonly pingTimeoutMs?: number;
}

interface Connection {
  readonly session: ClientHttp2Session;
  /** Rejects when it cannot be opened. */
  readonly opened: Promise<void>;
  heardAt: number;
  /** The sign of life that is waited for. */
  verifying: Promise<boolean> | undefined;
}

/**
 * Keeps one connection. Unlike connect-node's own manager, it outlives whatever is received when the connection was given up
 * already: bytes of another protocol, for one, would end the process.
 */
export function createHttp2Session(url: string, options: Http2SessionOptions = {}): Http2SessionKeeper {
  const { connectTimeoutMs = 3_000, verifyAfterMs = 5_000, pingTimeoutMs = 2_000 } = options;
  const { origin } = new URL(url);
  let current: Connection | undefined;

  function open(): Connection {
    const session = connectHttp2(origin, { createConnection: (to) => connectSocket(to, connectTimeoutMs) });
    session.unref();
    const opened = new Promise<void>((resolve, reject) => {
      session.once("connect", () => {
        connection.heardAt = performance.now();
        resolve();
      });
      // Stays for good: errors come after the end too.
      session.on("error", reject);
      session.once("close", () => {
        forget(connection);
        reject(Object.assign(new Error("connection closed"), { code: "ECONNRESET" }));
      });
      session.once("goaway", () => forget(connection));
    });
    // Whoever waits for it hears of it.
    opened.catch(() => {});
    const connection: Connection = { session, opened, heardAt: 0, verifying: undefined };
    return connection;
  }

  function forget(connection: Connection): void {
    if (current === connection) current = undefined;
  }

  function isAlive(connection: Connection): boolean | Promise<boolean> {
    const { session } = connection;
    if (session.closed || session.destroyed) return false;
    if (performance.now() - connection.heardAt < verifyAfterMs) return true;
    connection.verifying ??= ping(session, pingTimeoutMs).then((answered) => {
      connection.verifying = undefined;
      if (answered) connection.heardAt = performance.now();
      else session.destroy();
      return answered;
    });
    return connection.verifying;
  }

  async function usable(): Promise<ClientHttp2Session> {
    const kept = (current ??= open());
    await kept.opened;
    if (await isAlive(kept)) return kept.session;
    forget(kept);
    const fresh = (current ??= open());
    await fresh.opened;
    return fresh.session;
  }

  return {
    authority: origin,
    async request(method, path, headers, given) {
      const session = await usable();
      return session.request({ ...headers, ":method": method, ":path": path }, given);
    },
    notifyResponseByteRead({ session }) {
      if (current !== undefined && current.session === session) current.heardAt = performance.now();
    },
    close() {
      current?.session.destroy();
      current = undefined;
    },
  };
}

/** Whether the other side answers. Never rejects. */
function ping(session: ClientHttp2Session, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle(false), timeoutMs);
    const settle = (answered: boolean): void => {
      clearTimeout(timer);
      // The session is asked again and again, for days.
      session.off("close", lose);
      resolve(answered);
    };
    const lose = (): void => settle(false);
    session.once("close", lose);
    try {
      if (!session.ping((error) => settle(error === null))) settle(false);
    } catch {
      settle(false);
    }
  });
}

/** A connection that is there in time and speaks HTTP/2, or not at all. */
function connectSocket({ protocol, hostname, port }: URL, timeoutMs: number): Socket {
  const host = hostname.replace(/^\[|\]$/g, "");
  const isTls = protocol === "https:";
  const socket = isTls
    ? connectTls({ host, port: Number(port || 443), servername: isIP(host) ? "" : host, ALPNProtocols: ["h2"] })
    : connectPlain({ host, port: Number(port || 80) });
  socket.setNoDelay(true).setKeepAlive(true, 15_000);
  const refuse = (code: string): void => void socket.destroy(Object.assign(new Error(code), { code }));
  const timer = setTimeout(() => refuse("ETIMEDOUT"), timeoutMs);
  socket.once("close", () => clearTimeout(timer));
  socket.once(isTls ? "secureConnect" : "connect", () => {
    clearTimeout(timer);
    if (socket instanceof TLSSocket && socket.alpnProtocol !== "h2") refuse("ERR_HTTP2_NOT_OFFERED");
  });
  return socket;
}
