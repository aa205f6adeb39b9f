import type { ServerResponse } from "node:http";
import { toHttpError } from "./errors.js";
import { type ErrorShape, type HttpCall, type HttpRequest, type HttpResponse, type HttpRoute, send } from "./http.js";
import { breakOff } from "./reply.js";

/** One HTTP request as it ended, for log and metrics. */
export interface HttpOutcome {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  /** The route that served it; undefined when there was none. */
  readonly route: string | undefined;
  readonly status: number;
  readonly reason: string | undefined;
  readonly error: unknown;
  readonly durationMs: number;
}

export interface Router {
  handle(req: HttpRequest, res: HttpResponse, requestId: string): void;
}

/** Finds the route by method and path, and answers for what it throws. `onEnd` is told of every request that failed. */
export function createRouter(routes: readonly HttpRoute[], onFailed: (outcome: HttpOutcome) => void): Router {
  const byPath = new Map<string, HttpRoute[]>();
  for (const route of routes) byPath.set(route.path, [...(byPath.get(route.path) ?? []), route]);

  const fail = (call: HttpCall, route: HttpRoute, error: unknown): void => {
    const told = toHttpError(error);
    onFailed({
      requestId: call.requestId,
      method: call.req.method ?? "",
      path: call.path,
      route: route.path,
      status: told.status,
      reason: told.reason,
      error,
      durationMs: performance.now() - call.arrivedAt,
    });
    answerError(call, route.errors, told);
  };

  return {
    handle(req, res, requestId) {
      const url = req.url ?? "/";
      const query = url.indexOf("?");
      const path = query < 0 ? url : url.slice(0, query);
      const call: HttpCall = { req, res, requestId, path, arrivedAt: performance.now() };
      const found = byPath.get(path);
      if (!found) return void send(res, 404, { "content-type": "text/plain; charset=utf-8" }, "404 page not found\n");
      const method = req.method === "HEAD" ? "GET" : req.method;
      const route = found.find((each) => each.method === method);
      if (!route) return void send(res, 405, { allow: found.map((each) => each.method).join(", ") }, "");
      route.handle(call).catch((error: unknown) => fail(call, route, error));
    },
  };
}

function answerError(call: HttpCall, shape: ErrorShape, told: ReturnType<typeof toHttpError>): void {
  const res = call.res as ServerResponse;
  if (res.destroyed || res.writableEnded) return;
  if (res.headersSent) return breakOff(call.res);
  const type = typeof shape.contentType === "string" ? shape.contentType : shape.contentType(told);
  // A body that was not read to its end would be taken for the next request.
  const close = call.req.readableEnded || call.req.httpVersionMajor > 1 ? {} : { connection: "close" };
  send(call.res, told.status, { "content-type": type, ...told.headers, ...close }, shape.body(told, call.requestId));
}
