// Who administers the gateway: holders of a token of the configuration, or of a SAMS token with the right scope.

import { hash, timingSafeEqual } from "node:crypto";
import { RoleMissingError, UnauthenticatedError, UnavailableError } from "../errors.js";
import type { Clock } from "../lib/clock.js";

/** A viewer reads; an operator also writes; a reviewer reads flagged prompts, which is a right of its own. */
export type AdminRole = "viewer" | "operator" | "reviewer";

/** Somebody who may administer, as the audit log names them. */
export interface Admin {
  readonly name: string;
  readonly roles: readonly AdminRole[];
}

/** A token of the configuration: `CODY_GATEWAY_ADMIN_TOKENS`. */
export interface AdminToken {
  readonly name: string;
  /** An operator is a reviewer, too. */
  readonly role: "viewer" | "operator";
  /** Hex SHA-256 of the whole token. */
  readonly sha256: string;
}

/** What an introspection says of a token: https://www.rfc-editor.org/rfc/rfc7662#section-2.2 */
export interface Introspection {
  readonly active: boolean;
  readonly scopes: readonly string[];
  readonly clientId: string;
}

/** Asks who issued it what a token is good for. Throws when that cannot be told. */
export type Introspect = (token: string, signal: AbortSignal) => Promise<Introspection>;

export interface AdminAuthenticator {
  /**
   * Throws `UnauthenticatedError` for no token and for one that opens nothing, `RoleMissingError` for a SAMS token without a
   * scope of administration, and `UnavailableError` when SAMS cannot be asked.
   */
  authenticate(token: string | undefined): Promise<Admin>;
  /**
   * What SAMS says of a token; throws `UnavailableError` when it cannot be asked. Undefined: there is no SAMS.
   */
  readonly introspect: ((token: string) => Promise<Introspection>) | undefined;
}

export interface AdminOptions {
  readonly tokens: readonly AdminToken[];
  /** How long an introspection holds: so long a SAMS token goes on to be accepted after it was revoked. Default 10 s. */
  readonly introspectionMs?: number;
}

/** The scope of SAMS that opens flagged prompts. */
export const flaggedPromptsScope = "cody_gateway::flaggedprompts::read";
/** Scopes of SAMS that open the administration. */
const scopes: readonly (readonly [scope: string, roles: readonly AdminRole[]])[] = [
  ["cody_gateway::actors::write", ["viewer", "operator"]],
  ["cody_gateway::actors::read", ["viewer"]],
  [flaggedPromptsScope, ["reviewer"]],
];
/** Who holds a token of the configuration. */
const rolesOf: Readonly<Record<AdminToken["role"], readonly AdminRole[]>> = {
  viewer: ["viewer"],
  operator: ["viewer", "operator", "reviewer"],
};
/** Time SAMS has to answer. */
const introspectTimeoutMs = 5_000;
/** Most introspections that are remembered, and most that are under way at once. */
const maxRemembered = 1_000;
const maxAsking = 50;

/** `introspect` absent: only tokens of the configuration open anything. */
export function createAdminAuthenticator(
  parts: { readonly clock: Clock; readonly introspect?: Introspect },
  options: AdminOptions,
): AdminAuthenticator {
  const known = options.tokens.map(({ sha256, name, role }) => ({
    digest: Buffer.from(sha256, "hex"),
    admin: { name, roles: rolesOf[role] },
  }));
  const { introspect } = parts;
  const ask = introspect && createAsker(introspect, parts.clock, options.introspectionMs ?? 10_000);

  return {
    async authenticate(token) {
      if (token === undefined) throw new UnauthenticatedError("TOKEN_MISSING", "an admin credential is required");
      const digest = hash("sha256", token, "buffer");
      let found: Admin | undefined;
      // All are compared, so that the time does not tell how far one matched.
      for (const each of known) if (timingSafeEqual(each.digest, digest)) found = each.admin;
      if (found) return found;
      const said = await ask?.(token, digest.toString("base64url"));
      if (!said?.active) throw new UnauthenticatedError("TOKEN_INVALID", "no admin credential");
      const roles = scopes.flatMap(([scope, opens]) => (said.scopes.includes(scope) ? opens : []));
      if (roles.length === 0) throw new RoleMissingError("viewer");
      return { name: said.clientId, roles };
    },
    introspect: ask && ((token) => ask(token, hash("sha256", token, "base64url"))),
  };
}

interface Remembered {
  readonly said: Promise<Introspection>;
  until: number;
}

/** Asks once for each token, however many calls wait, and remembers the answer for a while. */
function createAsker(introspect: Introspect, clock: Clock, holdMs: number) {
  const remembered = new Map<string, Remembered>();
  let asking = 0;

  async function fetchAnswer(token: string): Promise<Introspection> {
    if (asking >= maxAsking) throw new UnavailableError("OVERLOADED", "too many credentials are being checked", 1_000);
    asking++;
    try {
      return await introspect(token, AbortSignal.timeout(introspectTimeoutMs));
    } catch (cause) {
      throw new UnavailableError("SOURCE_UNAVAILABLE", "the credential cannot be checked now", 5_000, { cause });
    } finally {
      asking--;
    }
  }

  return (token: string, key: string): Promise<Introspection> => {
    const known = remembered.get(key);
    if (known && known.until > clock.now()) return known.said;
    const entry: Remembered = { said: fetchAnswer(token), until: clock.now() + holdMs };
    entry.said.catch(() => {
      if (remembered.get(key) === entry) remembered.delete(key);
    });
    remembered.delete(key);
    remembered.set(key, entry);
    if (remembered.size > maxRemembered) remembered.delete(remembered.keys().next().value as string);
    return entry.said;
  };
}
