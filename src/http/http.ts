// The words that all HTTP routes share.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Span } from "../lib/span.js";

/** A request on either HTTP version. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** Its answer. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** One HTTP request on its way through a route. */
export interface HttpCall {
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly requestId: string;
  readonly traceId: string;
  /** Undefined: nobody traces it. */
  readonly span: Span | undefined;
  /** Path without the query. */
  readonly path: string;
  /** What stands in the path for the route's `{…}`, decoded. */
  readonly inPath: string | undefined;
  /** When it arrived, by `performance.now()`. */
  readonly arrivedAt: number;
}

/** Serves one method of one path. What it throws, the router answers in the shape of `errors`. */
export interface HttpRoute {
  /** `*`: any. */
  readonly method: "GET" | "POST" | "*";
  /** `{model}`, or any other word in braces, in it is any text, slashes included. */
  readonly path: string;
  /** Which surface it is of; undefined: it is no route of callers. */
  readonly edge?: "sourcegraph" | "sdk";
  readonly errors: ErrorShape;
  /** What is told of an error here, where that is not what is told of it everywhere (`told`). */
  tell?(error: unknown, told: HttpError): HttpError;
  handle(call: HttpCall): Promise<void>;
}

/** An error as it is told, before it has a shape. */
export interface HttpError {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** How the callers of a route expect to read errors. */
export interface ErrorShape {
  readonly contentType: string | ((error: HttpError) => string);
  body(error: HttpError, requestId: string): string;
  /** An error inside a stream that has begun: a frame on which clients raise. */
  streamFrame(error: HttpError): string;
}

/** The first value of a request header. */
export function header(req: HttpRequest, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The parameters of the request's query. */
export function query({ url = "" }: HttpRequest): URLSearchParams {
  const at = url.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
}

/** Answers with a whole body. A text leaves in one piece with the headers; bytes do not. */
export function send(res: HttpResponse, status: number, headers: Record<string, string>, body: string | Buffer): void {
  const all = ["content-length", String(Buffer.byteLength(body))];
  for (const name in headers) all.push(name, headers[name] as string);
  (res as ServerResponse).writeHead(status, all);
  (res as ServerResponse).end(body);
}
