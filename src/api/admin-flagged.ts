import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FlaggedRequestSchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Feature } from "../actors/actor.js";
import { NotFoundError } from "../errors.js";
import type { FlaggedPrompts, FlaggedRequest } from "../relay-check.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";
import { pageOf } from "./admin-page.js";
import { toFeatureEnum } from "./rate-limit.js";

export interface FlaggedAdminParts {
  /** Undefined: no prompt is kept. */
  readonly flagged: Pick<FlaggedPrompts, "list" | "read"> | undefined;
  readonly audited: Audited;
}

/** Requests whose prompts were flagged. That a prompt is read is kept like a write. */
export function flaggedHandlers({
  flagged,
  audited,
}: FlaggedAdminParts): Pick<AdminHandlers, "listFlaggedRequests" | "getFlaggedRequest"> {
  return {
    async listFlaggedRequests({ pageSize, pageToken, actor, blocked }) {
      const all = (await flagged?.list()) ?? [];
      const matching = all.filter(
        (request) =>
          (!actor || (request.actor.source === actor.source && request.actor.id === actor.id)) &&
          (blocked === undefined || request.blocked === blocked),
      );
      const order = { keyOf: ({ at, key }: FlaggedRequest) => [at, key], descending: true };
      const query = [actor?.source, actor?.id, blocked];
      const { items, nextPageToken } = await pageOf(matching, order, { pageSize, pageToken, query });
      return { requests: items.map(toMessage), nextPageToken };
    },

    getFlaggedRequest({ key, reason }, context) {
      return audited(context, { reason, after: { key } }, async () => {
        if (!flagged) throw new NotFoundError("no prompt is kept", "flagged_request");
        const { request, prompt } = await flagged.read(key);
        return { answer: { request: toMessage(request), prompt }, actor: request.actor };
      });
    },
  };
}

function toMessage(request: FlaggedRequest) {
  const { key, traceId, feature, actor, model, reasons, blocked, promptBytes, at, expiresAt } = request;
  return create(FlaggedRequestSchema, {
    key,
    traceId,
    feature: toFeatureEnum(feature as Feature),
    actor,
    model,
    reasons: [...reasons],
    blocked,
    promptBytes: BigInt(promptBytes),
    flagTime: timestampFromMs(at),
    expireTime: timestampFromMs(expiresAt),
  });
}
