import { isObject, oneLine, parseObject } from "./answers.js";
import type { PublicError } from "./provider.js";

/** OpenAI's words for a reason, where programs look for them: https://platform.openai.com/docs/guides/error-codes */
const codes = new Map([
  ["TOKEN_MISSING", "invalid_api_key"],
  ["TOKEN_INVALID", "invalid_api_key"],
  ["MODEL_NOT_ALLOWED", "model_not_found"],
  ["QUOTA_EXCEEDED", "insufficient_quota"],
  ["TOO_MANY_IN_FLIGHT", "rate_limit_exceeded"],
  ["UPSTREAM_RATE_LIMITED", "rate_limit_exceeded"],
]);

function errorType(status: number, code: string): string {
  if (code === "insufficient_quota") return code;
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

function envelope({ status, reason, message }: PublicError) {
  const code = codes.get(reason) ?? reason.toLowerCase();
  return { error: { message, type: errorType(status, code), param: null, code } };
}

export function openaiErrorBody(error: PublicError): object {
  return envelope(error);
}

export function openaiStreamError(error: PublicError): string {
  return `\nevent: error\ndata: ${JSON.stringify(envelope(error))}\n\n`;
}

/** Compatible servers put the message in `error` itself, in `message` or in `detail`. */
export function readOpenaiError(body: Buffer): string | undefined {
  const parsed = parseObject(body);
  if (!parsed) return undefined;
  const { error, message, detail } = parsed;
  return oneLine(isObject(error) ? error.message : error) ?? oneLine(message) ?? oneLine(detail);
}
