// The server's own answers: small JSON bodies, with the request id.

import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import type { Socket } from "node:net";
import type { HttpResponse } from "../http/http.js";
import { corsHeaders } from "./cors.js";
import type { Refusal } from "./guards.js";

/** On every answer. */
const ownHeaders: ReadonlySet<string> = new Set(["x-request-id", "x-trace", "x-trace-span", ...corsHeaders]);
const internalError = { status: 500, error: "internal error", close: false };

/** Answers a request that no handler gets to see. */
export function refuse(res: HttpResponse, refusal: Omit<Refusal, "reason">): void {
  // Both HTTP versions' responses do all that is used here alike.
  const response = res as ServerResponse;
  if (refusal.close) closeAfter(res);
  const body = Buffer.from(JSON.stringify({ error: refusal.error }));
  response.writeHead(refusal.status, {
    ...refusal.headers,
    "content-type": "application/json",
    "content-length": body.length,
  });
  response.end(body);
}

/** Answers 500, or breaks off the answer that has begun. */
export function answerFailure(res: HttpResponse): void {
  if (res.writableEnded || isGone(res)) return;
  if (res.headersSent) return breakOff(res);
  for (const name of res.getHeaderNames()) if (!ownHeaders.has(name)) res.removeHeader(name);
  refuse(res, internalError);
}

const lastAnswered = new WeakSet<Socket>();

/** The HTTP/1.1 connection ends after this response. HTTP/2 connections do not depend on one response. */
export function closeAfter(res: HttpResponse): void {
  if (isHttp2(res)) return;
  res.shouldKeepAlive = false;
  // A request that was destroyed has forgotten its connection, which is destroyed then, too.
  const { socket } = res.req as { readonly socket: Socket | null };
  if (socket) lastAnswered.add(socket);
}

/** Whether a response of the HTTP/1.1 connection is its last: a request that comes behind it could not be answered any more. */
export function isLastAnswered(socket: Socket): boolean {
  return lastAnswered.has(socket);
}

/** Ends a response so that nobody takes it for whole. */
export function breakOff(res: HttpResponse): void {
  if (isHttp2(res)) res.stream.close(2 /* INTERNAL_ERROR */);
  else res.destroy();
}

/** Whether nobody is there any more to read the response. */
export function isGone(res: HttpResponse): boolean {
  return isHttp2(res) ? res.stream === undefined || res.stream.destroyed || res.stream.closed : res.destroyed;
}

/** Which protocol's response it is. */
export function isHttp2(res: HttpResponse): res is Http2ServerResponse {
  return "stream" in res;
}

/** The same answer as bytes, for connections on which there is no response object: what came was no request. */
export function refusalBytes(refusal: Refusal, requestId: string): string {
  const body = JSON.stringify({ error: refusal.error });
  const lines = [
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ""}`,
    ...Object.entries(refusal.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    "content-type: application/json",
    `content-length: ${body.length}`,
    `x-request-id: ${requestId}`,
    "connection: close",
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}
