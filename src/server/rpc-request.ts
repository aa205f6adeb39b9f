// A request as Connect takes it. Connect-node's own adapter makes the same of it, but costs each call a parsed URL and an
// `AbortError` with its stack, when nobody listens any more.

import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { HttpRequest } from "../http/http.js";

// Up to here one buffer is made by what the request says its length is, above it grows as bytes arrive.
const trustedLength = 64 * 1024;

/** Messages may have up to `maxBytes`. */
export function universalRequestOf(req: HttpRequest, signal: AbortSignal, maxBytes: number): UniversalServerRequest {
  return {
    httpVersion: req.httpVersion,
    method: req.method ?? "",
    // Nobody looks at whom it is sent to.
    url: `http://gateway${req.url}`,
    header: headersOf(req, maxBytes),
    body: bodyOf(req),
    signal,
  };
}

/** What is left of a request's body. What is not read to its end must not end the connection: the answer would be lost. */
export function bodyOf(req: HttpRequest): AsyncIterable<Uint8Array> {
  return req.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
}

function headersOf({ headers }: HttpRequest, maxBytes: number): Headers {
  const made = new Headers();
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined || name.startsWith(":")) continue;
    if (typeof value !== "string") for (const each of value) made.append(name, each);
    else if (name === "content-length" && isDistrusted(Number(value), maxBytes)) continue;
    else made.append(name, bounded(name, value));
  }
  return made;
}

/** Not of a message that is too long: it is refused at once. */
function isDistrusted(length: number, maxBytes: number): boolean {
  return length > trustedLength && length <= maxBytes;
}

/** The longest that a timer waits. Node's fire at once when they are told to wait longer. */
const maxTimerMs = 2_147_483_647;
/** Of `grpc-timeout`; shorter units cannot say so much. */
const unitsMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000 };

/** Deadlines that no timer can keep become the latest that one can: services have limits of their own, which are shorter. */
function bounded(name: string, value: string): string {
  if (name === "connect-timeout-ms")
    return /^\d{10}$/.test(value) && Number(value) > maxTimerMs ? String(maxTimerMs) : value;
  if (name !== "grpc-timeout") return value;
  const [, units, unit = ""] = /^(\d{1,8})([HMS])$/.exec(value) ?? [];
  return Number(units) * (unitsMs[unit] ?? 0) > maxTimerMs ? `${Math.floor(maxTimerMs / 1000)}S` : value;
}
