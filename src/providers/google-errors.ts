import { isObject, oneLine } from "./answers.js";
import type { PublicError } from "./provider.js";

/** Google's word for a status: https://cloud.google.com/apis/design/errors#handling_errors */
function statusWord(status: number): string {
  const word = words.get(status);
  if (word !== undefined) return word;
  return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
}

const words = new Map([
  [401, "UNAUTHENTICATED"],
  [403, "PERMISSION_DENIED"],
  [404, "NOT_FOUND"],
  [409, "ABORTED"],
  [429, "RESOURCE_EXHAUSTED"],
  [499, "CANCELLED"],
  [502, "UNAVAILABLE"],
  [503, "UNAVAILABLE"],
  [504, "DEADLINE_EXCEEDED"],
]);

function envelope({ status, reason, message }: PublicError) {
  const info = { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "codygateway" };
  return { error: { code: status, message, status: statusWord(status), details: [info] } };
}

export function googleErrorBody(error: PublicError): object {
  return envelope(error);
}

export function googleStreamError(error: PublicError): string {
  return `\ndata: ${JSON.stringify(envelope(error))}\n\n`;
}

/** Streams that are no server-sent events have their errors in an array. */
export function readGoogleError(body: Buffer): string | undefined {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    const holder: unknown = Array.isArray(value) ? value[0] : value;
    const error = isObject(holder) ? holder.error : undefined;
    return isObject(error) ? oneLine(error.message) : undefined;
  } catch {
    return undefined;
  }
}
