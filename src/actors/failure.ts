// What went wrong, in words that may be shown to operators: no address, no token, nothing that somebody else wrote.

import { GatewayError } from "../errors.js";
import { SourceError } from "./source.js";
import { LeaseLostError } from "./store.js";

/** Codes of Node, OpenSSL and undici, by what they begin with. */
const codes: readonly (readonly [prefix: string, words: string])[] = [
  ["ECONNREFUSED", "connection refused"],
  ["ECONNRESET", "connection reset"],
  ["EPIPE", "connection closed"],
  ["ENOTFOUND", "host not found"],
  ["EAI_", "host cannot be resolved"],
  ["EHOSTUNREACH", "host cannot be reached"],
  ["ENETUNREACH", "network cannot be reached"],
  ["ETIMEDOUT", "no answer in time"],
  ["UND_ERR_CONNECT_TIMEOUT", "no connection in time"],
  ["UND_ERR_", "connection failed"],
  ["CERT_", "certificate is not accepted"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "certificate is not accepted"],
  ["SELF_SIGNED_CERT", "certificate is not accepted"],
  ["UNABLE_TO_", "certificate is not accepted"],
  ["ERR_TLS_", "TLS failed"],
  ["ERR_SSL_", "TLS failed"],
  ["EPROTO", "TLS failed"],
  ["ERR_HTTP2_", "HTTP/2 failed"],
];

/** A few words for whatever was thrown. */
export function describeFailure(error: unknown): string {
  if (error instanceof LeaseLostError) return "another process took over";
  if (error instanceof SourceError || error instanceof GatewayError) return error.message;
  if (!(error instanceof Error)) return "failed";
  if (error.name === "TimeoutError" || error.name === "AbortError") return "no answer in time";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const words = codes.find(([prefix]) => code.startsWith(prefix))?.[1];
  if (words !== undefined) return words;
  return error.cause === undefined || error.cause === error ? "failed" : describeFailure(error.cause);
}
