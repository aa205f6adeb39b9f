import type { ServerResponse } from "node:http";
import { constants } from "node:http2";
import type { UpstreamError } from "../errors.js";
import type { LimitState } from "../quota/quota.js";
import type { RelayReply } from "../relay.js";
import { toHttpError } from "./errors.js";
import type { Heartbeat, Heartbeats } from "./heartbeats.js";
import type { ErrorShape, HttpCall } from "./http.js";
import { rateLimitHeaders } from "./rate-limit.js";

/**
 * Passes an upstream's answer on as the HTTP response, unchanged but for the gateway's own headers, and for comments between the
 * events of a stream that is silent.
 */
export function createHttpReply(call: HttpCall, errors: ErrorShape, heartbeats: Heartbeats): RelayReply {
  // Both HTTP versions' responses do all that is used here alike.
  const res = call.res as ServerResponse;
  let model = "";
  let limits: readonly LimitState[] = [];
  let heartbeat: Heartbeat | undefined;
  // A whole answer waits for the settlement, so that its headers tell what is left after it and it leaves in one piece.
  let waiting: { readonly status: number; readonly headers: readonly string[]; readonly body: Buffer } | undefined;

  const head = (status: number, headers: readonly string[], length?: number): void => {
    const all = [...headers, "x-cody-resolved-model", model, ...rateLimitHeaders.admitted(limits)];
    if (length !== undefined) all.push("content-length", String(length));
    res.writeHead(status, all);
  };

  return {
    admitted(route, states) {
      model = route.name;
      limits = states;
    },
    start(status, headers) {
      head(status, headers);
      heartbeat = heartbeats.start(res);
      res.once("close", heartbeat.stop);
    },
    whole(status, headers, body) {
      waiting = { status, headers, body };
    },
    write(chunk) {
      heartbeat?.wrote(chunk);
      return res.write(chunk);
    },
    onDrain: (resume) => void res.once("drain", resume),
    onGone(listener) {
      if (isGone(call.res)) listener();
      else res.once("close", listener);
    },
    finish(states) {
      heartbeat?.stop();
      if (!waiting) {
        res.end();
        return;
      }
      limits = states;
      head(waiting.status, waiting.headers, waiting.body.length);
      res.end(waiting.body);
    },
    fail(error: UpstreamError) {
      heartbeat?.stop();
      // A clean end would pass for a whole answer: the frame makes SDKs raise, the broken connection everybody else.
      res.write(errors.streamFrame(toHttpError(error)), () => breakOff(call.res));
    },
  };
}

/** Whether nobody is there any more to read the response. HTTP/2's responses do not say so themselves. */
export function isGone(res: HttpCall["res"]): boolean {
  return "stream" in res ? res.stream.destroyed || res.stream.closed : res.closed || res.destroyed;
}

/** Ends a response so that it cannot be taken for whole. */
export function breakOff(res: HttpCall["res"]): void {
  if ("stream" in res) res.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else res.destroy();
}
