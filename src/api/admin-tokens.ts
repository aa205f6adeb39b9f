import { create, type JsonObject, toJson } from "@bufbuild/protobuf";
import { ActorRefSchema, ActorTokenSchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Directory } from "../actors/directory.js";
import type { ActorEdits } from "../actors/edits.js";
import type { Revocation } from "../actors/records.js";
import type { Roster } from "../actors/roster.js";
import { normaliseToken, type TokenHasher } from "../actors/token.js";
import { InvalidRequestError } from "../errors.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";
import { msOf, tokenHashOf, toRevocation, toToken } from "./admin-messages.js";

export interface TokenAdminParts {
  readonly directory: Directory;
  readonly roster: Roster;
  readonly edits: ActorEdits;
  readonly hasher: TokenHasher;
  readonly audited: Audited;
}

/** Tokens that are refused whatever their source says. */
export function tokenHandlers(parts: TokenAdminParts): Pick<AdminHandlers, "revokeToken" | "liftRevocation"> {
  const { edits, hasher, audited } = parts;

  function hashOf(token: { readonly case: string | undefined; readonly value?: string | undefined }): string {
    if (token.case === "accessToken") return hasher.hash(normaliseToken(token.value ?? ""));
    if (token.case === "tokenId") return tokenHashOf(token.value ?? "");
    throw new InvalidRequestError("expected access_token or token_id", "token");
  }

  function ownerOf(tokenHash: string): { source: string; id: string } | undefined {
    const known = parts.directory.byToken(tokenHash) ?? localOwner(parts.roster, tokenHash);
    return known && { source: known.source, id: known.id };
  }

  return {
    revokeToken(req, context) {
      const { reason } = req;
      return audited(context, { reason }, async (revokedBy) => {
        const tokenHash = hashOf(req.token);
        const expiresAt = msOf(req.expireTime);
        const revocation = { tokenHash, reason, revokedBy, ...(expiresAt !== undefined && { expiresAt }) };
        const { set, replaced } = await edits.revoke(revocation);
        const actor = ownerOf(tokenHash);
        return {
          answer: { token: toToken(tokenHash, set), ...(actor && { actor: create(ActorRefSchema, actor) }) },
          ...(actor && { actor }),
          ...(replaced && { before: json(tokenHash, replaced) }),
          after: json(tokenHash, set),
        };
      });
    },

    liftRevocation(req, context) {
      return audited(context, { reason: req.reason }, async () => {
        const tokenHash = hashOf(req.token);
        const lifted = await edits.lift(tokenHash);
        const actor = ownerOf(tokenHash);
        return {
          answer: { revocation: toRevocation(lifted) },
          ...(actor && { actor }),
          before: json(tokenHash, lifted),
        };
      });
    },
  };
}

function localOwner(roster: Roster, tokenHash: string) {
  for (const known of roster.local()) if (known.tokenHashes.includes(tokenHash)) return known;
  return undefined;
}

/** Of which token, too: it may be nobody's. */
function json(tokenHash: string, revocation: Revocation): JsonObject {
  return toJson(ActorTokenSchema, toToken(tokenHash, revocation)) as JsonObject;
}
