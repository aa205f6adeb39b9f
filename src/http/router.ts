import type { ServerResponse } from "node:http";
import type { Span } from "../lib/span.js";
import { toHttpError } from "./errors.js";
import {
  type ErrorShape,
  type HttpCall,
  type HttpError,
  type HttpRequest,
  type HttpResponse,
  type HttpRoute,
  send,
} from "./http.js";
import { breakOff } from "./reply.js";

/** A request that failed, for log and metrics. */
export interface HttpFailure {
  readonly requestId: string;
  readonly trace_id: string;
  readonly method: string;
  /** The route's path; undefined when there is none for the request. */
  readonly route: string | undefined;
  readonly edge: HttpRoute["edge"];
  readonly status: number;
  readonly reason: string;
  readonly durationMs: number;
}

export interface Router {
  handle(req: HttpRequest, res: HttpResponse, call: Pick<HttpCall, "requestId" | "traceId" | "span" | "path">): void;
  /** The surface of what is at this path; undefined: it is of none, or there is nothing. */
  edgeOf(path: string): HttpRoute["edge"];
}

/** Finds the route by method and path, and answers for what it throws. `onFailed` is told of every request that failed. */
export function createRouter(
  routes: readonly HttpRoute[],
  onFailed: (failure: HttpFailure, error: unknown) => void,
): Router {
  const byPath = new Map<string, HttpRoute[]>();
  for (const route of routes) byPath.set(route.path, [...(byPath.get(route.path) ?? []), route]);
  const patterns = [...byPath].filter(([path]) => place.test(path)).map(toPattern);

  const failed = (call: HttpCall, route: HttpRoute | undefined, told: HttpError, error?: unknown): void => {
    call.span?.set({ "cody_gateway.reason": told.reason });
    onFailed(
      {
        requestId: call.requestId,
        trace_id: call.traceId,
        method: call.req.method ?? "",
        route: route?.path,
        edge: route?.edge,
        status: told.status,
        reason: told.reason,
        durationMs: performance.now() - call.arrivedAt,
      },
      error,
    );
  };

  return {
    edgeOf: (path) => (byPath.get(path) ?? patterns.find(({ matches }) => matches(path))?.routes)?.[0]?.edge,
    handle(req, res, { requestId, traceId, span, path }) {
      const arrivedAt = performance.now();
      const known = byPath.get(path);
      const matched = known ? undefined : patterns.find(({ matches }) => matches(path));
      const call: HttpCall = { req, res, requestId, traceId, span, path, inPath: matched?.textIn(path), arrivedAt };
      const found = known ?? matched?.routes;
      if (!found) {
        failed(call, undefined, notFound);
        return path.startsWith("/-/")
          ? send(res, 404, {}, "")
          : send(res, 404, { "content-type": "text/plain; charset=utf-8" }, "404 page not found\n");
      }
      if (span && found[0]) describe(span, found[0], req.method);
      const method = req.method === "HEAD" ? "GET" : req.method;
      const route = found.find((each) => each.method === method || each.method === "*");
      if (!route) {
        failed(call, found[0], wrongMethod);
        return send(res, 405, { allow: found.map((each) => each.method).join(", ") }, "");
      }
      route.handle(call).catch((error: unknown) => {
        const usual = toHttpError(error);
        const told = route.tell?.(error, usual) ?? usual;
        failed(call, route, told, error);
        answerError(call, route.errors, told);
      });
    },
  };
}

/** Health and diagnostics are asked all the time, and nobody waits for them. */
function describe(span: Span, { path, edge }: HttpRoute, method: string | undefined): void {
  if (edge === undefined) return span.discard();
  span.rename(`${method} ${path}`);
  span.set({ "http.route": path, "cody_gateway.edge": edge });
}

const place = /\{[a-z]+\}/;

/** Routes whose path has a text in it that differs from call to call: a model's name. */
function toPattern([path, routes]: readonly [string, HttpRoute[]]) {
  const [before = "", after = ""] = path.split(place);
  const matches = (asked: string): boolean =>
    asked.length > before.length + after.length && asked.startsWith(before) && asked.endsWith(after);
  // The server has refused escapes that are broken or stand for syntax; what is left may still be no UTF-8.
  const textIn = (asked: string): string => decoded(asked.slice(before.length, asked.length - after.length));
  return { routes, matches, textIn };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const notFound: HttpError = { status: 404, reason: "NOT_FOUND", message: "404 page not found", headers: {} };
const wrongMethod: HttpError = { status: 405, reason: "METHOD_NOT_ALLOWED", message: "", headers: {} };

function answerError(call: HttpCall, shape: ErrorShape, told: HttpError): void {
  const res = call.res as ServerResponse;
  if (res.destroyed || res.writableEnded) return;
  if (res.headersSent) return breakOff(call.res);
  const type = typeof shape.contentType === "string" ? shape.contentType : shape.contentType(told);
  const headers: Record<string, string> = { "content-type": type };
  for (const name in told.headers) headers[name] = told.headers[name] as string;
  if (call.req.httpVersionMajor === 1 && isMuchUnread(call.req)) headers["connection"] = "close";
  send(call.res, told.status, headers, shape.body(told, call.requestId));
}

/** Longest body that is taken for nothing: while a larger one is under way, a new connection costs both sides less. */
const maxDiscardedBytes = 64 * 1024;

/** Whether more may still come of a body than is worth taking. */
function isMuchUnread({ complete, headers }: HttpCall["req"]): boolean {
  if (complete) return false;
  // One of no announced length may be endless.
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > maxDiscardedBytes;
}
