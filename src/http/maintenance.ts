// Flagged prompts for the tools that know the existing gateway, with its answers (wire.md 1.11).

import type { AuditLog } from "../actors/audit.js";
import { flaggedPromptsScope, type Introspection } from "../auth/admin.js";
import { bearerToken } from "../auth/credentials.js";
import { NotFoundError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { FlaggedPrompts } from "../relay-check.js";
import { problemErrors } from "./errors.js";
import { type HttpCall, type HttpRoute, header, send } from "./http.js";

export interface MaintenanceParts {
  readonly introspect: (token: string) => Promise<Introspection>;
  /** Undefined: no prompt is kept. */
  readonly flagged: Pick<FlaggedPrompts, "list" | "read"> | undefined;
  readonly audit: Pick<AuditLog, "add">;
  readonly log: Pick<Log, "info" | "error">;
}

const path = "/maintenance/flagged-requests";

export function maintenanceRoutes(parts: MaintenanceParts): HttpRoute[] {
  const { flagged, log } = parts;
  return [
    guarded(parts, path, async ({ res }) => {
      const kept = (await flagged?.list()) ?? [];
      const prompts = kept.map(({ key, traceId, feature, actor }) => ({ key, traceId, feature, userId: actor.id }));
      const body = `${JSON.stringify({ prompts: prompts.length > 0 ? prompts : null })}\n`;
      send(res, 200, { "content-type": "application/json" }, body);
    }),
    guarded(parts, `${path}/{key}`, async ({ res, requestId, inPath: key = "" }, admin) => {
      if (!key.startsWith("prompt:")) return refuse(res, 400, "Invalid prompt key");
      const found = await flagged?.read(key).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined;
        throw error;
      });
      if (!found) return refuse(res, 404, "Prompt not found");
      const { actor } = found.request;
      const about = { admin, rpc: `GET ${path}`, reason: "", requestId, actor, source: actor.source, after: { key } };
      log.info({ audit: about }, "administration");
      await parts.audit.add(about);
      send(res, 200, { "content-type": "text/plain; charset=utf-8", ...untouched }, found.prompt);
    }),
  ];
}

/** `handle` is told who asks. What it throws is told as nothing but an error. */
function guarded(
  { introspect, log }: MaintenanceParts,
  at: string,
  handle: (call: HttpCall, admin: string) => Promise<void>,
): HttpRoute {
  return {
    method: "GET",
    path: at,
    errors: problemErrors,
    async handle(call) {
      const { req, res, requestId } = call;
      const token = tokenOf(header(req, "authorization"));
      if (token === undefined) return refuse(res, 401, "Unauthorized");
      try {
        const said = await introspect(token);
        if (!said.active) return refuse(res, 401, "Unauthorized: Inactive token");
        if (!said.scopes.includes(flaggedPromptsScope)) return refuse(res, 403, "Forbidden: Missing required scope");
        await handle(call, said.clientId);
      } catch (error) {
        log.error({ requestId, err: error }, "maintenance failed");
        refuse(res, 500, "Internal Server Error");
      }
    },
  };
}

/** A header that holds none is as good as none. */
function tokenOf(authorization: string | undefined): string | undefined {
  try {
    return bearerToken(authorization);
  } catch {
    return undefined;
  }
}

/** A prompt is anybody's text: it is not to be taken for a page, nor to be kept on the way. */
const untouched = { "x-content-type-options": "nosniff", "cache-control": "no-store" };

function refuse(res: HttpCall["res"], status: number, text: string): void {
  const type = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
  send(res, status, type, `${text}\n`);
}
