import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { AuditEntrySchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { ErrorReason } from "../../gen/codygateway/v1/common_pb.js";
import type { AuditEntry, AuditLog } from "../actors/audit.js";
import { adminOf } from "../auth/admin-interceptor.js";
import { GatewayError, InvalidRequestError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { AdminHandlers } from "./admin.js";
import { msOf } from "./admin-messages.js";
import { pageOf } from "./admin-page.js";

/** What a write did: its answer, and what the audit log says of it. */
export interface Written<T> {
  readonly answer: T;
  readonly before?: JsonObject;
  readonly after?: JsonObject;
  /** Where it differs from what the request named. */
  readonly actor?: AuditEntry["actor"];
}

/** What a write is about, as the request says. */
export interface WriteRequest {
  readonly reason: string;
  readonly actor?: AuditEntry["actor"];
  readonly source?: string;
  /** What is asked for, where the write itself says no more of it. */
  readonly after?: JsonObject;
}

/**
 * Does a write, and keeps who did it and what became of it, also when it failed. Throws `InvalidRequestError` for a reason that
 * says nothing.
 */
export type Audited = <T>(
  context: HandlerContext,
  request: WriteRequest,
  work: (admin: string) => Promise<Written<T>>,
) => Promise<T>;

export function createAudited(parts: { readonly audit: AuditLog; readonly log: Log }): Audited {
  const { audit, log } = parts;

  async function keep(entry: Parameters<AuditLog["add"]>[0]): Promise<void> {
    log.info({ audit: entry }, "administration");
    try {
      await audit.add(entry);
    } catch (error) {
      // What was done is done: the log has it.
      log.error({ audit: entry, err: error }, "audit entry could not be kept");
    }
  }

  return async (context, request, work) => {
    const { name: admin } = adminOf(context.values);
    const { reason, actor } = request;
    if (reason !== "" && reason.trim() === "")
      throw new InvalidRequestError("expected a reason that says why", "reason");
    const source = request.source ?? actor?.source;
    const about = {
      admin,
      reason,
      rpc: context.method.name,
      requestId: context.requestHeader.get("x-request-id") ?? "",
      ...(actor && { actor }),
      ...(source !== undefined && source !== "" && { source }),
      ...(request.after && { after: request.after }),
    };
    try {
      const { answer, before, after, actor: found } = await work(admin);
      await keep({
        ...about,
        ...(found && { actor: found, source: found.source }),
        ...(before && { before }),
        ...(after && { after }),
      });
      return answer;
    } catch (error) {
      await keep({ ...about, error: error instanceof GatewayError ? error.reason : "INTERNAL" });
      throw error;
    }
  };
}

/** Who wrote what. */
export function auditHandlers({ audit }: { readonly audit: AuditLog }): Pick<AdminHandlers, "listAuditEntries"> {
  return {
    async listAuditEntries(req) {
      const { pageSize, pageToken, actor, admin, rpc } = req;
      const [from, to] = [msOf(req.startTime) ?? 0, msOf(req.endTime) ?? Infinity];
      const entries = audit
        .entries()
        .filter(
          (entry) =>
            entry.at >= from &&
            entry.at < to &&
            (admin === "" || entry.admin === admin) &&
            (rpc === "" || entry.rpc === rpc) &&
            (!actor || (entry.actor?.source === actor.source && entry.actor?.id === actor.id)),
        );
      const query = [actor?.source, actor?.id, admin, rpc, from, to];
      const order = { keyOf: ({ id }: AuditEntry) => [id], descending: true };
      const { items, nextPageToken } = await pageOf(entries, order, { pageSize, pageToken, query });
      return { entries: items.map(toEntry), nextPageToken };
    },
  };
}

function toEntry({ at, error, before, after, source = "", ...entry }: AuditEntry) {
  return create(AuditEntrySchema, {
    ...entry,
    source,
    time: timestampFromMs(at),
    ...(before && { before: before as JsonObject }),
    ...(after && { after: after as JsonObject }),
    ...(error !== undefined && { error: reasonEnum(error) }),
  });
}

/** The enum value of a reason; unspecified for one that has none. */
export function reasonEnum(reason: string): ErrorReason {
  const value = ErrorReason[reason as keyof typeof ErrorReason];
  return typeof value === "number" ? value : ErrorReason.UNSPECIFIED;
}
