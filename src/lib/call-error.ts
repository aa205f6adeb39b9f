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

/** How a connection, handshake or exchange failed. */
export interface CallFailure {
  readonly kind: "timeout" | "untrusted" | "oversized" | "tls" | "broken" | "unreachable" | "other";
  /** In words for `CallError.why`. */
  readonly why: string;
}

/** By the codes of Node, OpenSSL and undici. The first that fits counts. */
const failures: readonly (readonly [pattern: RegExp, kind: CallFailure["kind"], why: string])[] = [
  [/^ERR_HTTP2_NOT_OFFERED$|NO_APPLICATION_PROTOCOL/, "other", "does not offer HTTP/2"],
  [/TIMEOUT|TIMEDOUT|^AbortError$|^TimeoutError$/, "timeout", "did not answer in time"],
  [
    /^(CERT_|ERR_TLS_CERT|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH)/,
    "untrusted",
    "has a certificate that is not trusted",
  ],
  [/EXCEEDED_MAX_SIZE/, "oversized", "answered with more than is taken"],
  [/^(ERR_SSL_|ERR_TLS_|EPROTO$)/, "tls", "cannot be spoken to with TLS"],
  // Undici gives it no code.
  [/^HTTPParserError$/, "broken", "answered with what is not HTTP"],
  [/^(HPE_|ERR_HTTP2_|UND_ERR_RESPONSE|UND_ERR_HEADERS|ERR_INVALID_HTTP)/, "broken", "broke off its answer"],
  [/^E[A-Z]+(_[A-Z]+)?$|^UND_ERR_SOCKET$/, "unreachable", "cannot be reached"],
];

/** What an error of the network means. */
export function callFailure(error: unknown): CallFailure {
  const codes = codesOf(error);
  for (const [pattern, kind, words] of failures) {
    const code = codes.find((each) => pattern.test(each));
    if (code === undefined) continue;
    const told = kind === "untrusted" || kind === "tls" || kind === "unreachable";
    return { kind, why: told ? `${words} (${code})` : words };
  }
  return { kind: "other", why: "failed to answer" };
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
