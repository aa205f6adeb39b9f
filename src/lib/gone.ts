/** What Node says of an answer that is written to somebody who has left. */
const goneCodes: ReadonlySet<unknown> = new Set([
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_HTTP2_INVALID_STREAM",
  "ECANCELED",
  "ECONNRESET",
  "EPIPE",
]);

/** Whether `error` says no more than that the caller has left, which is no failure of ours. */
export function saysCallerLeft(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && goneCodes.has(error.code)) || saysCallerLeft(error.cause);
}
