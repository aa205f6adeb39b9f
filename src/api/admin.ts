import type { ServiceImpl } from "@connectrpc/connect";
import type { ActorAdminService } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { AuditLog } from "../actors/audit.js";
import type { Log } from "../lib/log.js";
import type { Activity } from "../usage/activity.js";
import { activityHandlers } from "./admin-activity.js";
import { type ActorAdminParts, actorHandlers } from "./admin-actors.js";
import { type AlertAdminParts, alertHandlers } from "./admin-alerts.js";
import { auditHandlers, createAudited } from "./admin-audit.js";
import { type ExplainAdminParts, explainHandlers } from "./admin-explain.js";
import { type FlaggedAdminParts, flaggedHandlers } from "./admin-flagged.js";
import { type OverrideAdminParts, overrideHandlers } from "./admin-overrides.js";
import { type SourceAdminParts, sourceHandlers } from "./admin-sources.js";
import { type TokenAdminParts, tokenHandlers } from "./admin-tokens.js";
import { type UsageAdminParts, usageHandlers } from "./admin-usage.js";

export type AdminHandlers = ServiceImpl<typeof ActorAdminService>;

/** What administration is about. */
export type AdminParts = { readonly audit: AuditLog; readonly activity: Activity; readonly log: Log } & Omit<
  ActorAdminParts &
    AlertAdminParts &
    ExplainAdminParts &
    FlaggedAdminParts &
    OverrideAdminParts &
    SourceAdminParts &
    TokenAdminParts &
    UsageAdminParts,
  "audited"
>;

/** Actors and their sources, for operators. */
export function admin(parts: AdminParts): AdminHandlers {
  const audited = createAudited(parts);
  const withAudit = { ...parts, audited };
  return {
    ...sourceHandlers(withAudit),
    ...actorHandlers(withAudit),
    ...tokenHandlers(withAudit),
    ...overrideHandlers(withAudit),
    ...usageHandlers(withAudit),
    ...explainHandlers(parts),
    ...flaggedHandlers(withAudit),
    ...alertHandlers(withAudit),
    ...activityHandlers(parts),
    ...auditHandlers(parts),
  };
}
