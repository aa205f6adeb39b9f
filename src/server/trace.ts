// Which trace a request belongs to: https://www.w3.org/TR/trace-context/

import type { IncomingHttpHeaders } from "node:http";
import type { HttpResponse } from "../http/http.js";
import { createHexIds } from "../lib/hex-ids.js";
import type { Span } from "../lib/span.js";
import { isHttp2 } from "./answer.js";

/** A request's place in a trace, in lower-case hex. */
export interface Trace {
  /** The caller's own where it sent one, else a new one: 32 digits. */
  readonly traceId: string;
  /** This request's own: 16 digits. */
  readonly spanId: string;
}

const today = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
// Later versions may have more behind a further dash; what this one knows of them stays the same. 00 is above, ff is none.
const later = /^(?!00|ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;

/** The trace that `traceparent` names, or a new one where there is none in it that can be read. */
export function traceOf(traceparent: string | string[] | undefined): Trace {
  const fresh = random();
  const traceId = typeof traceparent === "string" ? named(traceparent) : undefined;
  return { traceId: traceId ?? fresh.slice(0, traceDigits), spanId: fresh.slice(traceDigits) };
}

function named(traceparent: string): string | undefined {
  if (!today.test(traceparent) && !later.test(traceparent)) return undefined;
  const traceId = traceparent.slice(3, 35);
  return traceId === noTrace || traceparent.startsWith(noParent, 36) ? undefined : traceId;
}

/** Makes the spans of requests. Must not throw. */
export interface RequestTracer {
  /** Undefined: this one is not traced. */
  request(begun: Trace & { readonly callerSpanId: string | undefined; readonly asked: boolean }): Span | undefined;
}

/** The span of a request with these headers, under the ids that its caller is told. */
export function spanOf(
  tracer: RequestTracer,
  headers: IncomingHttpHeaders,
  { traceId, spanId }: Trace,
): Span | undefined {
  const { traceparent } = headers;
  const isCallers = typeof traceparent === "string" && traceparent.startsWith(traceId, 3);
  const asked = /^(1|t|true)$/i.test(String(headers["x-sourcegraph-should-trace"]));
  return tracer.request({ traceId, spanId, callerSpanId: isCallers ? traceparent.slice(36, 52) : undefined, asked });
}

/** The answer is over, one way or another. */
export function endSpan(span: Span, res: HttpResponse): void {
  const { headersSent, statusCode } = res;
  if (headersSent) span.set({ "http.response.status_code": statusCode });
  if (headersSent && statusCode >= 500) span.fail(String(statusCode));
  const whole = isHttp2(res) ? res.writableEnded && res.stream.rstCode === 0 : res.writableFinished;
  if (!whole) span.set({ "cody_gateway.answer": headersSent ? "broken_off" : "none" });
  span.end();
}

const noTrace = "0".repeat(32);
const noParent = "0".repeat(16);
const traceDigits = 32;
const random = createHexIds(traceDigits + 16);
