// The routes of existing Sourcegraph instances and Cody clients (wire.md 1, 14).

import type { Feature } from "../actors/actor.js";
import type { Sources } from "../actors/sources.js";
import type { Authenticator } from "../auth/authenticate.js";
import { InvalidRequestError } from "../errors.js";
import { scanJsonObject } from "../lib/json.js";
import type { Quota } from "../quota/quota.js";
import { type RelayParts, relay } from "../relay.js";
import { readBody } from "./body.js";
import { sourcegraphErrors } from "./errors.js";
import type { Heartbeats } from "./heartbeats.js";
import { type HttpCall, type HttpRoute, header, send } from "./http.js";
import { limitsBody } from "./limits.js";
import { createHttpReply } from "./reply.js";
import { callerOf, timeoutOf, tokenOf, userOf } from "./sourcegraph-call.js";

/** A completions route: which API of which upstream it is. */
export interface SourcegraphRoute {
  readonly path: string;
  readonly upstream: string;
  /** How messages to people name the provider. */
  readonly label: string;
  /** The APIs that a body may be for, by feature: those that are not there are not served. */
  readonly apis: Readonly<Partial<Record<Feature, readonly string[]>>>;
  /** Headers of callers that are passed on, where they have exactly this value. */
  readonly passHeaders?: Readonly<Record<string, string>>;
}

export interface SourcegraphParts {
  readonly relay: RelayParts;
  readonly quota: Quota;
  readonly authenticator: Authenticator;
  readonly sources: Pick<Sources, "refreshFor">;
  readonly heartbeats: Heartbeats;
}

export interface SourcegraphOptions {
  readonly maxBodyBytes: number;
  /** Most output tokens that a request to Anthropic may ask for. */
  readonly maxTokens: number;
}

export function sourcegraphRoutes(
  parts: SourcegraphParts,
  completions: readonly SourcegraphRoute[],
  options: SourcegraphOptions,
): HttpRoute[] {
  return [
    ...completions.map((route) => completionsRoute(parts, route, options)),
    limitsRoute(parts),
    refreshRoute(parts),
  ];
}

function completionsRoute(parts: SourcegraphParts, route: SourcegraphRoute, options: SourcegraphOptions): HttpRoute {
  return {
    method: "POST",
    path: route.path,
    edge: "sourcegraph",
    errors: sourcegraphErrors,
    async handle(call) {
      const { req } = call;
      const actor = await callerOf(parts.authenticator, call);
      const { feature, apis } = featureOf(header(req, "x-sourcegraph-feature"), route);
      const timeoutMs = timeoutOf(call);
      const body = scanJsonObject(await readBody(req, options.maxBodyBytes));
      const endUser = userOf(call);
      await relay(
        parts.relay,
        {
          id: call.requestId,
          traceId: call.traceId,
          span: call.span,
          actor,
          endUser,
          feature,
          edge: "sourcegraph",
          ask: {
            kind: "native",
            upstream: route.upstream,
            apis,
            called: undefined,
            body,
            headers: passedHeaders(req, route),
            endUser: `${actor.id}:${endUser?.id ?? ""}`,
            sourcegraph: { maxTokens: options.maxTokens },
          },
          timeoutMs,
          arrivedAt: call.arrivedAt,
          path: call.path,
        },
        createHttpReply(call, sourcegraphErrors, parts.heartbeats),
      );
    },
  };
}

function limitsRoute(parts: SourcegraphParts): HttpRoute {
  return {
    method: "GET",
    path: "/v1/limits",
    edge: "sourcegraph",
    errors: sourcegraphErrors,
    async handle(call) {
      const actor = await callerOf(parts.authenticator, call);
      const body = limitsBody(actor, await parts.quota.limits(actor, userOf(call) ?? {}));
      send(call.res, 200, { "content-type": "application/json" }, JSON.stringify(body));
    },
  };
}

/** Empty 200 once the actor's source was asked, also where it cannot be. */
function refreshRoute(parts: SourcegraphParts): HttpRoute {
  return {
    method: "POST",
    path: "/v1/limits/refresh",
    edge: "sourcegraph",
    errors: sourcegraphErrors,
    async handle(call) {
      // First: who was refused may have access by now.
      await parts.sources.refreshFor(tokenOf(call));
      await callerOf(parts.authenticator, call);
      send(call.res, 200, {}, "");
    },
  };
}

function featureOf(
  value: string | undefined,
  route: SourcegraphRoute,
): { readonly feature: Feature; readonly apis: readonly string[] } {
  const name = value?.trim();
  if (!name) throw new InvalidRequestError("X-Sourcegraph-Feature header is required");
  if (name !== "chat_completions" && name !== "code_completions")
    throw new InvalidRequestError("invalid value for X-Sourcegraph-Feature");
  const apis = route.apis[name];
  if (!apis) throw new InvalidRequestError(`feature "${name}" is currently not supported for ${route.label}`);
  return { feature: name, apis };
}

function passedHeaders(req: HttpCall["req"], { passHeaders = {} }: SourcegraphRoute): Record<string, string> {
  return Object.fromEntries(Object.entries(passHeaders).filter(([name, value]) => header(req, name) === value));
}
