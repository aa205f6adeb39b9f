// The routes that vendors' SDKs call when only their base URL and key are changed: `/{upstream}` + the vendor's own paths.

import type { Actor, Feature } from "../actors/actor.js";
import type { Authenticator } from "../auth/authenticate.js";
import { bearerToken } from "../auth/credentials.js";
import { InvalidRequestError } from "../errors.js";
import { scanJsonObject } from "../lib/json.js";
import { type RelayParts, relay } from "../relay.js";
import type { ModelDirectory } from "../relay-models.js";
import { readBody } from "./body.js";
import { type ErrorShape, type HttpCall, type HttpRoute, header, send } from "./http.js";
import { createHttpReply } from "./reply.js";

/** What one upstream serves to SDKs. */
export interface SdkSurface {
  readonly upstream: string;
  /** Where it begins: `/anthropic`, `/openai/v1`. */
  readonly prefix: string;
  /** Header in which the vendor's SDK sends its key, lower case; `authorization` is read as well. */
  readonly keyHeader: string;
  readonly errors: ErrorShape;
  readonly apis: readonly { readonly name: string; readonly path: string }[];
  /** The vendor's list of models: its path and its form; undefined when there is none. */
  readonly models: { readonly path: string; write(models: readonly string[]): object } | undefined;
}

export interface SdkParts {
  readonly relay: RelayParts;
  readonly authenticator: Authenticator;
  readonly models: ModelDirectory;
}

export function sdkRoutes(
  parts: SdkParts,
  surface: SdkSurface,
  options: { readonly maxBodyBytes: number },
): HttpRoute[] {
  const routes: HttpRoute[] = surface.apis.map((api) => ({
    method: "POST",
    path: surface.prefix + api.path,
    errors: surface.errors,
    async handle(call) {
      const actor = await callerOf(parts.authenticator, surface, call);
      const feature = featureOf(header(call.req, "x-sourcegraph-feature"));
      const body = scanJsonObject(await readBody(call.req, options.maxBodyBytes));
      const uid = header(call.req, "x-sourcegraph-actor-uid");
      await relay(
        parts.relay,
        {
          id: call.requestId,
          actor,
          feature,
          edge: "sdk",
          ask: {
            kind: "native",
            upstream: surface.upstream,
            api: api.name,
            body,
            headers: call.req.headers,
            // The body is the caller's: only a caller that speaks our header means us to name the user.
            endUser: uid === undefined ? undefined : `${actor.id}:${uid}`,
            sourcegraph: undefined,
          },
          timeoutMs: sdkTimeout(header(call.req, "x-stainless-timeout"), header(call.req, "x-timeout-ms")),
          arrivedAt: call.arrivedAt,
        },
        createHttpReply(call, surface.errors),
      );
    },
  }));
  const { models } = surface;
  if (models) {
    routes.push({
      method: "GET",
      path: surface.prefix + models.path,
      errors: surface.errors,
      async handle(call) {
        const actor = await callerOf(parts.authenticator, surface, call);
        const names = await parts.models.native(actor, surface.upstream);
        send(call.res, 200, { "content-type": "application/json" }, JSON.stringify(models.write(names)));
      },
    });
  }
  return routes;
}

function callerOf(authenticator: Authenticator, surface: SdkSurface, { req }: HttpCall): Promise<Actor> {
  const key = surface.keyHeader === "authorization" ? undefined : header(req, surface.keyHeader)?.trim();
  return authenticator.authenticate(key || bearerToken(header(req, "authorization")));
}

function featureOf(value: string | undefined): Feature {
  const name = value?.trim();
  if (!name) return "chat_completions";
  if (name === "chat_completions" || name === "code_completions") return name;
  throw new InvalidRequestError(
    "X-Sourcegraph-Feature must be chat_completions or code_completions, or absent",
    "X-Sourcegraph-Feature",
  );
}

/** SDKs made with Stainless send seconds; `X-Timeout-Ms` wins. */
function sdkTimeout(seconds: string | undefined, milliseconds: string | undefined): number | undefined {
  const ms = milliseconds === undefined ? Number(seconds) * 1000 : Number(milliseconds);
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
