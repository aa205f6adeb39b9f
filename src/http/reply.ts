import type { ServerResponse } from "node:http";
import { constants } from "node:http2";
import type { UpstreamError } from "../errors.js";
import type { LimitState } from "../quota/quota.js";
import type { RelayReply } from "../relay.js";
import { toHttpError } from "./errors.js";
import type { ErrorShape, HttpCall } from "./http.js";
import { rateLimitHeaders } from "./rate-limit.js";

/** Passes an upstream's answer on as the HTTP response, unchanged but for the gateway's own headers. */
export function createHttpReply(call: HttpCall, errors: ErrorShape): RelayReply {
  // Both HTTP versions' responses do all that is used here alike.
  const res = call.res as ServerResponse;
  let model = "";
  let limits: readonly LimitState[] = [];
  // A whole answer waits for the settlement, so that its headers tell what is left after it and it leaves in one piece.
  let waiting: { status: number; headers: Readonly<Record<string, string>>; body: Buffer | undefined } | undefined;

  const head = (status: number, headers: Readonly<Record<string, string>>): void => {
    res.writeHead(status, { ...headers, "x-cody-resolved-model": model, ...rateLimitHeaders.admitted(limits) });
  };

  return {
    admitted(route, states) {
      model = route.name;
      limits = states;
    },
    start(status, headers) {
      if (headers["content-length"] !== undefined) waiting = { status, headers, body: undefined };
      else head(status, headers);
    },
    write(chunk) {
      if (!waiting) return res.write(chunk);
      waiting.body = chunk;
      return true;
    },
    onDrain: (resume) => void res.once("drain", resume),
    onGone(listener) {
      if (res.closed || res.destroyed) listener();
      else res.once("close", listener);
    },
    finish(states) {
      limits = states;
      if (waiting) head(waiting.status, waiting.headers);
      res.end(waiting?.body);
    },
    fail(error: UpstreamError) {
      // A clean end would pass for a whole answer: the frame makes SDKs raise, the broken connection everybody else.
      res.write(errors.streamFrame(toHttpError(error)), () => breakOff(call.res));
    },
  };
}

/** Ends a response so that it cannot be taken for whole. */
export function breakOff(res: HttpCall["res"]): void {
  if ("stream" in res) res.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else res.destroy();
}
