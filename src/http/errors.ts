// The gateway's errors as HTTP answers, the only place that makes them.

import {
  FeatureNotGrantedError,
  GatewayError,
  ModelNotAllowedError,
  QuotaExceededError,
  type Reason,
  RecentlyRefreshedError,
  TooManyInFlightError,
  UnavailableError,
  UpstreamError,
} from "../errors.js";
import { formatGoDuration } from "../lib/duration.js";
import { JsonSyntaxError } from "../lib/json.js";
import type { ErrorShape, HttpError } from "./http.js";
import { rateLimitHeaders } from "./rate-limit.js";

const statuses: Readonly<Record<Reason, number>> = {
  CREDENTIALS_MALFORMED: 400,
  INVALID_REQUEST: 400,
  MODEL_NOT_ALLOWED: 400,
  CAPABILITY_MISSING: 400,
  PROMPT_BLOCKED: 400,
  UPSTREAM_REFUSED_REQUEST: 400,
  TOKEN_MISSING: 401,
  TOKEN_INVALID: 401,
  ACCESS_DISABLED: 403,
  ROLE_MISSING: 403,
  // As clients know it: with this credential there is nothing here.
  SOURCE_NOT_ALLOWED: 401,
  FEATURE_NOT_GRANTED: 403,
  NOT_FOUND: 404,
  MESSAGE_TOO_LARGE: 413,
  QUOTA_EXCEEDED: 429,
  TOO_MANY_IN_FLIGHT: 429,
  RECENTLY_REFRESHED: 429,
  SYNC_NOT_SUPPORTED: 400,
  SYNC_DIFFERS: 409,
  NOT_CONFIGURED: 503,
  INTERNAL: 500,
  UPSTREAM_REFUSED_KEY: 502,
  UPSTREAM_REJECTED: 502,
  UPSTREAM_INTERRUPTED: 502,
  UPSTREAM_UNAVAILABLE: 502,
  UPSTREAM_RATE_LIMITED: 503,
  QUOTA_STORE_UNAVAILABLE: 503,
  SOURCE_UNAVAILABLE: 503,
  ACTOR_STORE_UNAVAILABLE: 503,
  OVERLOADED: 503,
  DRAINING: 503,
  DEADLINE_EXCEEDED: 504,
};

/** Longest wait after which an SDK may still try again by itself, seconds. */
const longestSdkWait = 60;
/** Largest `retry-after`: a longer one overflows the timers of the SDKs, which then retry at once. */
const maxRetryAfter = 2_147_483;

/** What the caller is told. Anything that is not the gateway's own error is "internal error". */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof JsonSyntaxError) {
    const message = `failed to parse request body: ${error.message}`;
    return { status: 400, reason: "INVALID_REQUEST", message, headers: {} };
  }
  if (!(error instanceof GatewayError)) {
    return { status: 500, reason: "INTERNAL", message: "internal error", headers: {} };
  }
  const { reason } = error;
  return { status: statusOf(error), reason, message: messageOf(error), headers: headersOf(error) };
}

/** Where an upstream was not even asked, it is for now, and says so. */
function statusOf(error: GatewayError): number {
  return error instanceof UpstreamError && error.details.notAsked ? 503 : statuses[error.reason];
}

function messageOf(error: GatewayError): string {
  if (error instanceof ModelNotAllowedError)
    return `model ${JSON.stringify(error.model)} is not allowed, allowed: [${error.allowed.join(", ")}]`;
  if (error instanceof FeatureNotGrantedError) return `no access to feature ${error.feature}`;
  if (error instanceof QuotaExceededError || error instanceof TooManyInFlightError) return limitText(error);
  if (error instanceof UpstreamError) return upstreamText(error);
  if (error instanceof RecentlyRefreshedError)
    return `actor was recently updated - try again in ${formatGoDuration(wholeSeconds(error.retryAfterMs) * 1_000)}`;
  return error.message;
}

/** The sentence that existing clients show (wire.md 4.5). */
function limitText(error: QuotaExceededError | TooManyInFlightError): string {
  const { limit, unit, feature, perUser } = error.limit;
  const whose = perUser ? " for each user" : "";
  const when = error.retryAt
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " +0000 UTC");
  return error instanceof QuotaExceededError
    ? `you have exceeded the rate limit of ${limit} ${unit}${whose}. Retry after ${when}`
    : `you have exceeded the concurrency limit of ${limit} requests${whose} for "${feature}". Retry after ${when}`;
}

function upstreamText(error: UpstreamError): string {
  const { upstream, model, notAsked } = error.details;
  if (notAsked) return `model ${model} is currently unavailable`;
  if (error.reason === "DEADLINE_EXCEEDED") return `request to upstream provider ${upstream} timed out`;
  if (error.reason === "UPSTREAM_UNAVAILABLE") return `failed to make request to upstream provider ${upstream}`;
  return error.message;
}

function headersOf(error: GatewayError): Record<string, string> {
  if (error.reason === "TOKEN_MISSING") return { "www-authenticate": 'Bearer realm="cody-gateway"' };
  if (error.reason === "TOKEN_INVALID")
    return { "www-authenticate": 'Bearer realm="cody-gateway", error="invalid_token"' };
  if (error.reason === "CREDENTIALS_MALFORMED")
    return { "www-authenticate": 'Bearer realm="cody-gateway", error="invalid_request"' };
  if (error instanceof QuotaExceededError || error instanceof TooManyInFlightError) {
    const seconds = secondsUntil(error.retryAt);
    return {
      ...rateLimitHeaders.refused(error.limit, seconds),
      "retry-after": String(seconds),
      ...(seconds > longestSdkWait && { "x-should-retry": "false" }),
    };
  }
  if (error instanceof UnavailableError || error instanceof RecentlyRefreshedError)
    return { "retry-after": String(wholeSeconds(error.retryAfterMs)) };
  if (error instanceof UpstreamError) return headersOfUpstream(error);
  if (error.reason === "MESSAGE_TOO_LARGE") return { "x-should-retry": "false" };
  return {};
}

function headersOfUpstream({ details: { model, retryAfterSeconds } }: UpstreamError): Record<string, string> {
  return {
    ...(model !== undefined && { "x-cody-resolved-model": model }),
    ...(retryAfterSeconds !== undefined && { "retry-after": String(retryAfterSeconds) }),
  };
}

/** Whole seconds, rounded up: after them the same request passes. */
function secondsUntil(time: Date): number {
  return wholeSeconds(time.getTime() - Date.now());
}

function wholeSeconds(ms: number): number {
  return Math.min(Math.max(1, Math.ceil(ms / 1000)), maxRetryAfter);
}

/** How existing Sourcegraph instances read errors: JSON with one text, and plain text for limits (wire.md 1.2, 1.8, 4.5). */
export const sourcegraphErrors: ErrorShape = {
  contentType: (error) => (isOfLimit(error) ? "text/plain; charset=utf-8" : "application/json"),
  body: (error) => `${isOfLimit(error) ? error.message : JSON.stringify({ error: error.message })}\n`,
  streamFrame: (error) =>
    sseError({ type: "error", error: { type: error.reason.toLowerCase(), message: error.message } }),
};

function isOfLimit({ status, reason }: HttpError): boolean {
  return status === 429 && reason !== "RECENTLY_REFRESHED";
}

/** Errors of routes that are nobody's format: https://www.rfc-editor.org/rfc/rfc9457 */
export const problemErrors: ErrorShape = {
  contentType: "application/problem+json",
  body: ({ status, reason, message }, requestId) =>
    `${JSON.stringify({ type: "about:blank", title: message, status, reason, requestId })}\n`,
  streamFrame: sourcegraphErrors.streamFrame,
};

/** A frame that makes the iterators of both the OpenAI and the Anthropic SDK throw; ends a half-sent event first. */
function sseError(data: object): string {
  return `\n\nevent: error\ndata: ${JSON.stringify(data)}\n\n`;
}
