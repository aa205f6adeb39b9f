// What an upstream's answer means when it is no success: whose fault it is, and what becomes of it.

import { UpstreamError } from "../errors.js";
import { type AnswerHeaders, retryAfterSeconds } from "./header-policy.js";
import type { Health } from "./health.js";
import type { UpstreamKey } from "./keys.js";
import type { Again, UpstreamRequest, UpstreamTarget } from "./upstream.js";

/** Where a request was sent, with which key, and who is to know how it went. */
export interface Sent {
  readonly target: UpstreamTarget;
  readonly key: UpstreamKey | undefined;
  readonly health: Health;
}

/** What an answer that is no success means: it is not passed on where it is about us, or where another try may help. */
export function refusalOf(
  { target, key, health }: Sent,
  request: UpstreamRequest,
  status: number,
  headers: AnswerHeaders,
): { readonly error: UpstreamError; readonly again: Again } | undefined {
  const details = { upstream: target.name, model: `${target.name}/${request.model}`, status };
  // Redirects could carry key and prompt elsewhere.
  if (status < 400) {
    const error = new UpstreamError("UPSTREAM_REJECTED", "upstream answered with a redirect", details);
    return { error, again: undefined };
  }
  if (status === 401 || status === 403) {
    const again = health.keyRefused(request, key, status);
    return { error: new UpstreamError("UPSTREAM_REFUSED_KEY", "upstream refused the gateway's key", details), again };
  }
  if (!isOverload(status)) return undefined;
  const again = health.overloaded(request, key, status, retryAfterSeconds(headers, Date.now()));
  // The upstream's own words are passed on, unless another try may bring an answer.
  if (again === undefined) return undefined;
  const hint = retryHint(target, status, headers);
  const told = { ...details, ...(hint !== undefined && { retryAfterSeconds: hint }) };
  return passedStatus(status) === 503
    ? { error: new UpstreamError("UPSTREAM_RATE_LIMITED", "upstream is overloaded", told), again }
    : { error: new UpstreamError("UPSTREAM_UNAVAILABLE", "upstream failed", told), again };
}

/** Whether a status says that the upstream cannot, whatever the request is. */
export function isOverload(status: number): boolean {
  return status === 429 || status >= 500;
}

/** Upstream 429 and 529 are about our key or their load, not about the caller's limits. */
export function passedStatus(status: number): number {
  return status === 429 || status === 529 ? 503 : status;
}

/** Seconds for `retry-after`. A 503 always says when to come back: without it, existing instances retry twenty times. */
export function retryHint(target: UpstreamTarget, status: number, headers: AnswerHeaders): number | undefined {
  const given = retryAfterSeconds(headers, Date.now());
  return given ?? (passedStatus(status) === 503 ? target.provider.retryAfterSeconds : undefined);
}
