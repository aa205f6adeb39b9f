// What goes wrong with the Enterprise Portal, in plain words.

import { Code, ConnectError } from "@connectrpc/connect";
import { CallError, callFailure } from "../../lib/call-error.js";
import { SourceError } from "../source.js";

/** What errors call the portal. */
export const portalService = "Enterprise Portal";

/** What went wrong, for people; what ended it where it was ended on purpose. */
export function plain(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof SourceError) return error;
  if (signal.aborted) return signal.reason;
  if (!(error instanceof ConnectError)) return trouble(callFailure(error).why);
  const { code, cause, rawMessage } = error;
  // No token of the gateway's own.
  if (cause instanceof CallError) return new SourceError(cause.message, { cause });
  if (code === Code.DeadlineExceeded) return trouble("did not answer in time");
  return trouble(cause === undefined ? `answered with ${nameOf(code)}${said(rawMessage)}` : callFailure(cause).why);
}

/** An error of the portal: how it failed. */
export function trouble(how: string, options?: ConstructorParameters<typeof SourceError>[1]): SourceError {
  return new SourceError(`${portalService} ${how}`, options);
}

/** `permission_denied`. */
function nameOf(code: Code): string {
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

/** The portal's own words, without whatever in them could be a secret. */
function said(message: string): string {
  const plainText = message
    .replace(/[^\x20-\x7e]+/g, " ")
    .replace(/[\w+/=.-]{24,}/g, "…")
    .trim();
  return plainText === "" ? "" : `: ${plainText.slice(0, 160)}`;
}
