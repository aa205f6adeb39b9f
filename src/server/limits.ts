import { readFileSync } from "node:fs";

/** Every bound of the server. Times in milliseconds. */
export interface ServerLimits {
  /** Connections at a time; more are closed at once. Default: 0.48 of the open files this process may have. */
  readonly maxConnections: number;
  /** Connections that have not shown their protocol yet; of more, the oldest is closed. */
  readonly maxUndecided: number;
  /** Until a new connection has shown its protocol. */
  readonly prefaceMs: number;
  /** Until a TLS handshake is done. */
  readonly handshakeMs: number;

  /** Until a request's head is whole, and until a new HTTP/2 connection has made its first request. */
  readonly headMs: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  /** Until a request's body is whole, plus the time that what has arrived may take at `minBytesPerSecond`. */
  readonly bodyMs: number;
  /** Until a request's body is whole, however fast it arrives. */
  readonly bodyMaxMs: number;
  /** Slowest transfer that is waited for. */
  readonly minBytesPerSecond: number;
  /** HTTP/1.1 connections between two requests. Above the idle time of load balancers in front. */
  readonly keepAliveMs: number;
  /** Requests that one HTTP/1.1 connection may have waiting behind the one being answered. */
  readonly maxPipelined: number;
  /** A response with bytes to send of which none leaves for so long is destroyed. */
  readonly writeStallMs: number;
  /** How long what the peer still sends is read and dropped after an early answer, so that it gets to see the answer. */
  readonly lingerMs: number;

  readonly maxStreams: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Streams of one session that may end by a reset within `resetWindowMs`, where they are half of its streams or more. */
  readonly maxResets: number;
  readonly resetWindowMs: number;
  readonly pingEveryMs: number;
  readonly pingAckMs: number;
  /** A session without streams for so long is closed. */
  readonly sessionIdleMs: number;
  /** Bytes a second from a session that neither opens streams nor sends bodies: control frames. */
  readonly maxControlBytesPerSecond: number;

  /** How often deadlines are looked at. */
  readonly sweepMs: number;
  /** Between the hard stop of a drain and the end of what still runs. */
  readonly graceMs: number;
}

/** The limits, with what is not given at its default. */
export function serverLimits(given: Partial<ServerLimits> = {}): ServerLimits {
  return {
    maxConnections: given.maxConnections ?? Math.floor(0.48 * maxOpenFiles()),
    maxUndecided: 1024,
    prefaceMs: 5_000,
    handshakeMs: 5_000,
    headMs: 5_000,
    maxHeaderBytes: 16 * 1024,
    maxHeaders: 100,
    bodyMs: 30_000,
    bodyMaxMs: 600_000,
    minBytesPerSecond: 16 * 1024,
    keepAliveMs: 70_000,
    maxPipelined: 32,
    writeStallMs: 60_000,
    lingerMs: 2_000,
    maxStreams: 100,
    streamWindowBytes: 65_535,
    connectionWindowBytes: 1024 * 1024,
    maxResets: 200,
    resetWindowMs: 10_000,
    pingEveryMs: 30_000,
    pingAckMs: 10_000,
    sessionIdleMs: 300_000,
    maxControlBytesPerSecond: 256 * 1024,
    sweepMs: 1_000,
    graceMs: 1_000,
    ...given,
  };
}

/** How many files this process may have open. 4096 where the system does not say. */
export function maxOpenFiles(limitsFile = "/proc/self/limits"): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(limitsFile, "utf8"))?.[1];
    if (soft === "unlimited") return 1_048_576;
    if (soft !== undefined) return Number(soft);
  } catch {
    // No such file: not Linux.
  }
  return 4096;
}
