// Where a caller's token stands in its request: https://www.rfc-editor.org/rfc/rfc6750#section-2.1

import { MalformedCredentialsError } from "../errors.js";

/**
 * The token of an `Authorization` header; undefined without one. Throws `MalformedCredentialsError` when it is there but
 * is no bearer token; the texts are those that existing clients know.
 */
export function bearerToken(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  const space = authorization.indexOf(" ");
  if (space < 0) throw new MalformedCredentialsError("token type missing in Authorization header");
  const scheme = authorization.slice(0, space);
  if (scheme.toLowerCase() !== "bearer") throw new MalformedCredentialsError(`invalid token type ${printable(scheme)}`);
  const token = authorization.slice(space + 1).trim();
  return token === "" ? undefined : token;
}

/** What was sent in place of a scheme may be a secret: only a short plain word is repeated. */
function printable(scheme: string): string {
  return /^[A-Za-z]{1,16}$/.test(scheme) ? scheme : "(unreadable)";
}
