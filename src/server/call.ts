// What the server hands to those who serve requests, and what it tells those who watch it.

import type { HttpRequest, HttpResponse } from "../http/http.js";
import type { Span } from "../lib/span.js";

/** What the server knows of a request, beside the request. */
export interface RequestCall {
  /** The caller's own `x-request-id` where it is well formed, else a new one. Also in the request's and the answer's headers. */
  readonly requestId: string;
  /** The trace it belongs to: the one of its `traceparent`, else a new one. Also in its header `x-trace` and the answer's. */
  readonly traceId: string;
  /** Told of what becomes of it; ended by the server. Undefined: nobody traces it. */
  readonly span: Span | undefined;
  readonly protocol: "h1" | "h2";
  /** The request target without its query: begins with one slash, has no dot segments and no encoded separators. */
  readonly path: string;
}

/** Serves a request. What it throws, or rejects with, is answered with 500, or breaks off the answer that has begun. */
export type RequestHandler = (req: HttpRequest, res: HttpResponse, call: RequestCall) => void | Promise<void>;

/** Why a request was answered without a handler seeing it. */
export type RefusalReason =
  | "malformed"
  | "version"
  | "host"
  | "target"
  | "method"
  | "duplicate_header"
  | "header_count"
  | "header_size"
  | "transfer_encoding"
  | "content_encoding"
  | "expectation"
  | "upgrade"
  | "head_timeout"
  | "body_timeout";

/** Why a connection, a session or a response was ended by the server. */
export type CutReason =
  | "connection_limit"
  | "undecided_limit"
  | "preface_timeout"
  | "handshake"
  | "pipelining"
  | "body_timeout"
  | "write_stall"
  | "session_unused"
  | "session_idle"
  | "session_dead"
  | "session_resets"
  | "session_flood"
  | "session_error"
  | "drain";

/** Counts how requests end, and what the server does on its own. Called on the request path: must be quick and must not throw. */
export interface ServerObserver {
  refused(reason: RefusalReason): void;
  cut(reason: CutReason): void;
  /** The request for this path is over, answered with this status; undefined: no answer had begun. */
  ended(path: string, status: number | undefined): void;
  /** A handler threw. */
  failed(): void;
}
