// What a request head must be before anything acts on it. Pure: looks at the head as it came, decides, does nothing.

import type { RefusalReason } from "./call.js";

/** The head of a request, as both HTTP versions of Node give it. */
export interface RequestHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion: string;
  /** Names and values in turn, as received. */
  readonly rawHeaders: readonly string[];
}

/** How a request is turned away. */
export interface Refusal {
  readonly status: number;
  readonly reason: RefusalReason;
  readonly error: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Where the next request begins is in doubt: an HTTP/1.1 connection ends with this answer. */
  readonly close: boolean;
}

const refusal = (status: number, reason: RefusalReason, error: string): Refusal => ({
  status,
  reason,
  error,
  close: true,
});

const refusals = {
  version: refusal(505, "version", "HTTP version not supported"),
  headerCount: refusal(431, "header_count", "too many request headers"),
  noHost: refusal(400, "host", "missing host"),
  badHost: refusal(400, "host", "invalid host"),
  badTarget: refusal(400, "target", "invalid request target"),
  transferEncoding: refusal(400, "transfer_encoding", "ambiguous transfer encoding"),
  unknownTransferEncoding: refusal(501, "transfer_encoding", "transfer encoding not supported"),
  // A caller that expects something may keep its body back, or not: what follows the head is in doubt.
  expectation: refusal(417, "expectation", "expectation not supported"),
  upgrade: refusal(501, "upgrade", "upgrade not supported"),
  method: {
    ...refusal(405, "method", "method not allowed"),
    headers: { allow: "GET, HEAD, POST, OPTIONS" },
    close: false,
  },
  contentEncoding: {
    ...refusal(415, "content_encoding", "content encoding not supported"),
    headers: { "accept-encoding": "gzip, identity" },
    close: false,
  },
} satisfies Record<string, Refusal>;

/** What came is no HTTP. */
export const badRequest = refusal(400, "malformed", "malformed request");
/** The head is not there in time. */
export const headTimeout = refusal(408, "head_timeout", "request head took too long");
/** The body is not there in time. */
export const bodyTimeout = refusal(408, "body_timeout", "request body took too long");
/** The head has too many bytes. */
export const headTooLarge = refusal(431, "header_size", "request head too large");
/** No route knows the method. */
export const methodNotAllowed: Refusal = refusals.method;

// The methods that a route may know of; which ones it does, the router says.
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Whether there may be a route for it. */
export function isKnownMethod(method: string): boolean {
  return methods.has(method);
}

/**
 * Headers of which there must be one at most, each with its bit. Node takes the first of two in silence, joins others with a comma;
 * whoever stands in front may have taken the second.
 */
const single: ReadonlyMap<string, number> = new Map(
  [
    ":authority",
    "host",
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "expect",
    "upgrade",
  ].map((name, bit) => [name, 1 << bit]),
);
const singleLengths: ReadonlySet<number> = new Set([...single.keys()].map((name) => name.length));
const duplicates: ReadonlyMap<string, Refusal> = new Map(
  [...single.keys()].map((name) => [name, refusal(400, "duplicate_header", `duplicate header: ${name}`)]),
);
const contentLengthBit = single.get("content-length") as number;

/**
 * Why the request is refused; undefined when nothing is wrong with its head. `anyContentEncoding`: whoever serves the path
 * answers for content encodings itself.
 */
export function checkHead(head: RequestHead, maxHeaders: number, anyContentEncoding: boolean): Refusal | undefined {
  const { rawHeaders, httpVersion } = head;
  if (httpVersion !== "1.1" && httpVersion !== "1.0" && httpVersion !== "2.0") return refusals.version;
  let seen = 0;
  let pseudo = 0;
  let host: string | undefined;
  let authority: string | undefined;
  let encoding: string | undefined;
  let transfer: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const raw = rawHeaders[i] as string;
    if (raw.charCodeAt(0) === 0x3a) pseudo++;
    if (!singleLengths.has(raw.length)) continue;
    const name = raw.toLowerCase();
    const bit = single.get(name);
    if (bit === undefined) continue;
    if (seen & bit) return duplicates.get(name);
    seen |= bit;
    const value = rawHeaders[i + 1] as string;
    switch (name) {
      case "host":
        host = value;
        break;
      case ":authority":
        authority = value;
        break;
      case "content-encoding":
        encoding = value;
        break;
      case "transfer-encoding":
        transfer = value;
        break;
      case "expect":
        if (value.toLowerCase() !== "100-continue") return refusals.expectation;
        break;
      case "upgrade":
        // An offer of h2c may be passed over (RFC 9110 7.8), and clients make it with every first request.
        if (value.toLowerCase() !== "h2c") return refusals.upgrade;
        break;
    }
  }
  // An HTTP/1 request line may say HTTP/2.0, but pseudo-headers it cannot have.
  if (httpVersion === "2.0" && pseudo === 0) return refusals.version;
  if (rawHeaders.length / 2 - pseudo > maxHeaders) return refusals.headerCount;
  if (authority !== undefined && host !== undefined && authority !== host) return refusals.badHost;
  const named = authority ?? host;
  if (named === undefined) return refusals.noHost;
  if (!isHost(named)) return refusals.badHost;
  if (transfer !== undefined) {
    if (httpVersion === "1.0" || seen & contentLengthBit) return refusals.transferEncoding;
    if (transfer.toLowerCase() !== "chunked") return refusals.unknownTransferEncoding;
  }
  if (!methods.has(head.method ?? "")) return refusals.method;
  if (!isTarget(head.url ?? "")) return refusals.badTarget;
  if (encoding !== undefined && !anyContentEncoding && !/^(?:gzip|identity|)$/i.test(encoding)) {
    return refusals.contentEncoding;
  }
  return undefined;
}

const hostForm = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
// Callers use few names. Whether one makes a URL is asked once.
const knownHosts = new Set<string>();
const maxKnownHosts = 1000;

/** Whether `host` is a name or address, with a port or without, of which a URL can be made: `new URL` throws on others. */
export function isHost(host: string): boolean {
  if (knownHosts.has(host)) return true;
  if (host.length > 261 || !hostForm.test(host) || !URL.canParse(`http://${host}`)) return false;
  if (knownHosts.size >= maxKnownHosts) knownHosts.clear();
  knownHosts.add(host);
  return true;
}

// Needs no second look, unless there is a dot after a slash.
const plainTarget = /^\/(?!\/)[\w~!$&'()*+,;=:@./-]*(?:\?[\w~!$&'()*+,;=:@./?-]*)?$/;
const pathBytes = /^\/(?!\/)[\w~!$&'()*+,;=:@./%-]*$/;
// Printable ASCII, but for the backslash, which some take for a slash, and the fragment, which is no part of a target. More than
// the standard allows: clients are sloppy here, and nothing hangs on it.
const queryBytes = /^[\x21\x22\x24-\x5b\x5d-\x7e]*$/;
const brokenEscape = /%(?![0-9A-Fa-f]{2})/;
// An encoded slash, backslash, dot, percent sign or control character means one thing to a router and another to the next.
const encodedSyntax = /%(?:2[Ff]|5[Cc]|2[Ee]|25|[01][0-9A-Fa-f]|7[Ff])/;
const dotSegment = /\/\.{1,2}(?:\/|$)/;

/** Whether `target` is a path, with a query or without, that every URL parser reads alike. */
export function isTarget(target: string): boolean {
  if (plainTarget.test(target) && !target.includes("/.")) return true;
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  if (!pathBytes.test(path) || !queryBytes.test(target.slice(path.length))) return false;
  if (brokenEscape.test(target)) return false;
  return !encodedSyntax.test(path) && !dotSegment.test(path);
}
