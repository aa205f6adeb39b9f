// How an exchange ends, and how that is counted.

import type { UpstreamError } from "../errors.js";
import type { TryOutcome } from "./health.js";
import type { Again } from "./upstream.js";

/** How an exchange ended, without its figures. */
export type Ending =
  | { readonly kind: "answered"; readonly streamError: boolean }
  | {
      readonly kind: "failed";
      readonly error: UpstreamError;
      readonly started: boolean;
      readonly again: Again;
      readonly tried: true;
    }
  | { readonly kind: "gone"; readonly started: boolean };

/** Message of an answer that broke off for want of anything more. */
export const silence = "the answer stopped coming";

/** `status`: what the upstream answered, if it did; `reached`: it may have seen the request. */
export function outcomeOf(ending: Ending, status: number | undefined, reached: boolean): TryOutcome {
  if (ending.kind === "gone") return "gone";
  if (status === 429 || status === 529) return "rate_limited";
  if (status === 401 || status === 403) return "key_refused";
  if (ending.kind === "answered") {
    if (ending.streamError) return "interrupted";
    if (status !== undefined && status < 300) return "answered";
    return status !== undefined && status >= 500 ? "failed" : "refused";
  }
  const { reason, message } = ending.error;
  if (reason === "DEADLINE_EXCEEDED" || message === silence) return "timed_out";
  if (reason === "UPSTREAM_INTERRUPTED") return "interrupted";
  if (status !== undefined) return "failed";
  return reached ? "interrupted" : "unreachable";
}
