/**
 * A call of another service did not succeed. The message says of which and why, in words that hold nothing of what was sent
 * or received: it may be shown to operators as it is.
 */
export class CallError extends Error {
  override readonly name = "CallError";
  constructor(
    /** The service, for people: `Enterprise Portal`. */
    readonly service: string,
    readonly why: string,
    /** The service's own status, when it answered. */
    readonly status?: number,
  ) {
    super(`${service} ${why}`);
  }
}

const untrusted = /^(CERT_|ERR_TLS_CERT|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH)/;

/** What a failed connection, handshake or exchange means, in words for `CallError.why`. */
export function whyCallFailed(error: unknown): string {
  const codes = codesOf(error);
  const find = (pattern: RegExp): string | undefined => codes.find((code) => pattern.test(code));
  if (find(/TIMEOUT|TIMEDOUT|^AbortError$|^TimeoutError$/)) return "did not answer in time";
  const certificate = find(untrusted);
  if (certificate) return `has a certificate that is not trusted (${certificate})`;
  if (find(/EXCEEDED_MAX_SIZE/)) return "answered with more than is taken";
  const tls = find(/^(ERR_SSL_|ERR_TLS_|EPROTO$)/);
  if (tls) return `cannot be spoken to with TLS (${tls})`;
  if (find(/^(HPE_|ERR_HTTP2_|UND_ERR_RESPONSE|UND_ERR_HEADERS|ERR_INVALID_HTTP)/)) return "broke off its answer";
  const network = find(/^E[A-Z]+(_[A-Z]+)?$|^UND_ERR_SOCKET$/);
  return network ? `cannot be reached (${network})` : "failed to answer";
}

/** Codes and names along the causes of an error, the innermost first: it says most. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  const seen = new Set<unknown>();
  const visit = (each: unknown): void => {
    if (!(each instanceof Error) || seen.has(each)) return;
    seen.add(each);
    visit(each.cause);
    if (each instanceof AggregateError) each.errors.forEach(visit);
    if ("code" in each && typeof each.code === "string") codes.push(each.code);
    codes.push(each.name);
  };
  visit(error);
  return codes;
}
