import { isObject, oneLine, parseObject } from "./answers.js";
import type { PublicError } from "./provider.js";

/** Anthropic's word for a status: https://platform.claude.com/docs/en/api/errors */
function errorType(status: number): string {
  const type = types.get(status);
  if (type !== undefined) return type;
  return status >= 500 ? "api_error" : "invalid_request_error";
}

const types = new Map([
  [401, "authentication_error"],
  [402, "billing_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [413, "request_too_large"],
  [429, "rate_limit_error"],
  [503, "overloaded_error"],
  [504, "timeout_error"],
  [529, "overloaded_error"],
]);

function envelope({ status, message }: PublicError) {
  return { type: "error", error: { type: errorType(status), message } };
}

export function anthropicErrorBody(error: PublicError, requestId: string): object {
  return { ...envelope(error), request_id: requestId };
}

export function anthropicStreamError(error: PublicError): string {
  return `\nevent: error\ndata: ${JSON.stringify(envelope(error))}\n\n`;
}

export function readAnthropicError(body: Buffer): string | undefined {
  const error = parseObject(body)?.error;
  return isObject(error) ? oneLine(error.message) : undefined;
}
