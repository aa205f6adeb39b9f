// Which headers of an upstream's answer the caller sees: an allow list, so that cookies, organisation ids and the
// provider's own rate figures stay here.

import { readRetryAfterMs } from "../lib/retry-after.js";

const passed = new Set([
  "content-type",
  "content-encoding",
  "content-language",
  "cache-control",
  // Anthropic's SDK shows it on errors: https://platform.claude.com/docs/en/api/errors
  "request-id",
  "openai-processing-ms",
  "openai-version",
]);

/** Largest `retry-after` in seconds: a longer one overflows the timers of the SDKs, which then retry at once. */
export const maxRetryAfterSeconds = 2_147_483;

/** Headers as undici hands them over: lower-case names. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The headers of the answer to the caller, names and values in turn; `but` is left out. */
export function passedHeaders(headers: AnswerHeaders, but?: string): string[] {
  const kept: string[] = [];
  for (const name in headers) {
    if (!passed.has(name) || name === but) continue;
    const value = headers[name];
    if (typeof value === "string") kept.push(name, value);
  }
  return kept;
}

/**
 * The upstream's `retry-after` in whole seconds, whether it sent seconds, a date or `retry-after-ms`; undefined when none.
 * https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function retryAfterSeconds(headers: AnswerHeaders, nowMs: number): number | undefined {
  const ms = Number(single(headers["retry-after-ms"]) ?? Number.NaN);
  if (ms >= 0) return cap(ms / 1000);
  const given = readRetryAfterMs(single(headers["retry-after"]), nowMs);
  return given === undefined ? undefined : cap(given / 1000);
}

function cap(seconds: number): number {
  return Math.min(Math.max(Math.ceil(seconds), 0), maxRetryAfterSeconds);
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value.trim() : undefined;
}
