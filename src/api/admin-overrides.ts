import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { ActorOverrideSchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Directory } from "../actors/directory.js";
import type { ActorEdits } from "../actors/edits.js";
import { type Override, overrideName } from "../actors/override.js";
import type { Roster } from "../actors/roster.js";
import { NotFoundError } from "../errors.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";
import { fromSubject, msOf, toOverride } from "./admin-messages.js";
import { pageOf } from "./admin-page.js";

export interface OverrideAdminParts {
  readonly directory: Directory;
  readonly roster: Roster;
  readonly edits: ActorEdits;
  readonly audited: Audited;
}

/** What actors have in place of what their sources say. */
export function overrideHandlers(
  parts: OverrideAdminParts,
): Pick<AdminHandlers, "setActorOverride" | "clearActorOverride" | "listActorOverrides"> {
  const { directory, roster, edits, audited } = parts;
  return {
    setActorOverride(req, context) {
      const { source = "", id = "" } = req.actor ?? {};
      const { reason } = req;
      return audited(context, { reason, actor: { source, id } }, async (setBy) => {
        if (!roster.get(source, id)) throw new NotFoundError("no such actor", `actor/${source}/${id}`);
        const expiresAt = msOf(req.expireTime);
        const subject = fromSubject(req.subject);
        const override = { source, id, subject, reason, setBy, ...(expiresAt !== undefined && { expiresAt }) };
        const { set, replaced } = await edits.setOverride(override);
        return {
          answer: { override: toOverride(set), ...(replaced && { replaced: toOverride(replaced) }) },
          ...(replaced && { before: json(replaced) }),
          after: json(set),
        };
      });
    },

    clearActorOverride(req, context) {
      const { source = "", id = "" } = req.actor ?? {};
      return audited(context, { reason: req.reason, actor: { source, id } }, async () => {
        const name = req.which.case === "name" ? req.which.value : undefined;
        const cleared = await edits.clearOverrides(source, id, name);
        return {
          answer: { overrides: cleared.map(toOverride) },
          before: { overrides: cleared.map(json) },
        };
      });
    },

    async listActorOverrides(req) {
      const { pageSize, pageToken, actor, source } = req;
      const all = actor ? directory.overridesOf(actor.source, actor.id) : directory.overrides();
      const matching = source === "" ? all : [...all].filter((override) => override.source === source);
      const keyOf = (each: Override) => [each.source, each.id, overrideName(each.subject)];
      const query = [actor?.source, actor?.id, source];
      const { items, nextPageToken } = await pageOf(matching, { keyOf }, { pageSize, pageToken, query });
      return { overrides: items.map(toOverride), nextPageToken };
    },
  };
}

function json(override: Override): JsonObject {
  return toJson(ActorOverrideSchema, toOverride(override)) as JsonObject;
}
