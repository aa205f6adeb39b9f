// The search for attribution of existing Sourcegraph instances (wire.md 1.9).

import type { Authenticator } from "../auth/authenticate.js";
import { InvalidRequestError, UpstreamError } from "../errors.js";
import { scanJsonObject } from "../lib/json.js";
import { type Attribution, type AttributionQuery, maxRepositories, maxSnippetBytes } from "../relay-attribution.js";
import { readBody } from "./body.js";
import { sourcegraphErrors } from "./errors.js";
import { type HttpCall, type HttpError, type HttpRoute, send } from "./http.js";
import { goneSignal, tokenOf, unlessGone } from "./sourcegraph-call.js";

export interface AttributionParts {
  readonly attribution: Attribution;
  readonly authenticator: Pick<Authenticator, "identify">;
}

/** Room for a snippet whose every byte is escaped. */
const maxBodyBytes = 7 * maxSnippetBytes;

/** `POST /v1/attribution`. Instances whose access to models is disabled may have models of their own. */
export function attributionRoute({ attribution, authenticator }: AttributionParts): HttpRoute {
  return {
    method: "POST",
    path: "/v1/attribution",
    edge: "sourcegraph",
    errors: sourcegraphErrors,
    tell,
    async handle(call) {
      const actor = await authenticator.identify(tokenOf(call), call.span);
      const query = await readQuery(call);
      const gone = goneSignal(call);
      const found = await unlessGone(gone, attribution.search(actor, query, gone));
      if (!found) return;
      const { repositories, totalCount, limitHit } = found;
      const body = {
        // The letter's case, and null for none, are what clients know.
        Repositories: repositories.length === 0 ? null : repositories.map((name) => ({ name })),
        ...(totalCount > 0 && { totalCount }),
        ...(limitHit && { limitHit }),
      };
      send(call.res, 200, { "content-type": "application/json" }, JSON.stringify(body));
    },
  };
}

async function readQuery({ req }: HttpCall): Promise<AttributionQuery> {
  const body = scanJsonObject(await readBody(req, maxBodyBytes));
  const snippet = body.get("snippet");
  const limit = body.get("limit") ?? 0;
  if (typeof snippet !== "string") throw new InvalidRequestError("snippet must be a string", "snippet");
  if (!Number.isInteger(limit)) throw new InvalidRequestError("limit must be a whole number", "limit");
  const asked = limit as number;
  return { snippet, limit: asked >= 1 && asked <= maxRepositories ? asked : maxRepositories };
}

/** Seconds for `retry-after`: without it, instances would try again twenty times. */
const failedRetry = "30";
const offRetry = "600";

function tell(error: unknown, told: HttpError): HttpError {
  if (told.reason === "NOT_CONFIGURED") return { ...told, headers: { ...told.headers, "retry-after": offRetry } };
  if (!(error instanceof UpstreamError)) return told;
  return {
    ...told,
    status: 502,
    message: "fetching SnippetAttribution from sourcegraph.com failed",
    headers: { ...told.headers, "retry-after": failedRetry },
  };
}
