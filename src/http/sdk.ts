// The routes that vendors' SDKs call when only their base URL and key are changed: `/{upstream}` + the vendor's own paths.

import type { Actor, Feature } from "../actors/actor.js";
import type { Authenticator } from "../auth/authenticate.js";
import { bearerToken } from "../auth/credentials.js";
import { endUserOf } from "../auth/end-user.js";
import { InvalidRequestError } from "../errors.js";
import { scanJsonObject } from "../lib/json.js";
import { type ApiPath, type RelayParts, relay } from "../relay.js";
import type { ModelDirectory } from "../relay-models.js";
import { readBody } from "./body.js";
import type { Heartbeats } from "./heartbeats.js";
import { type ErrorShape, type HttpCall, type HttpRoute, header, query, send } from "./http.js";
import { createHttpReply } from "./reply.js";

/** What one upstream serves to SDKs. */
export interface SdkSurface {
  readonly upstream: string;
  /** Where it begins: `/anthropic`, `/openai/v1`. */
  readonly prefix: string;
  /** Header in which the vendor's SDK sends its key, lower case; `authorization` is read as well. */
  readonly keyHeader: string;
  /** Query parameter in which callers may send the key; undefined: none. */
  readonly keyParameter: string | undefined;
  readonly errors: ErrorShape;
  readonly apis: readonly SdkApi[];
  /** The vendor's list of models: its paths and its form; undefined when there is none. */
  readonly models: { readonly paths: readonly string[]; write(models: readonly string[]): object } | undefined;
}

/** One API of it. */
export interface SdkApi {
  readonly name: string;
  readonly paths: readonly ApiPath[];
  /** What callers mean who do not say; embeddings are nothing else, whatever they say. */
  readonly feature: Feature;
}

export interface SdkParts {
  readonly relay: RelayParts;
  readonly authenticator: Authenticator;
  readonly models: ModelDirectory;
  readonly heartbeats: Heartbeats;
}

/** An API as it is called on one path. */
interface Called {
  readonly api: SdkApi;
  readonly at: ApiPath;
}

export function sdkRoutes(
  parts: SdkParts,
  surface: SdkSurface,
  options: { readonly maxBodyBytes: number },
): HttpRoute[] {
  const called = surface.apis.flatMap((api) => api.paths.map((at): Called => ({ api, at })));
  const paths = new Set(called.map(({ at }) => at.path));
  const { models } = surface;
  return [
    ...[...paths].map((path) => {
      const here = called.filter(({ at }) => at.path === path) as [Called, ...Called[]];
      return apiRoute(parts, surface, here, options);
    }),
    ...(models?.paths ?? []).map((path) => modelsRoute(parts, surface, path)),
  ];
}

/** `here`: what is called on this path, by query; the first one when none fits. */
function apiRoute(
  parts: SdkParts,
  surface: SdkSurface,
  here: readonly [Called, ...Called[]],
  options: { readonly maxBodyBytes: number },
): HttpRoute {
  return {
    method: "POST",
    path: surface.prefix + here[0].at.path,
    edge: "sdk",
    errors: surface.errors,
    async handle(call) {
      const { req } = call;
      const actor = await callerOf(parts.authenticator, surface, call);
      const { api, at } = here.length === 1 ? here[0] : pick(here, req);
      const feature = featureOf(header(req, "x-sourcegraph-feature"), api);
      const body = scanJsonObject(await readBody(req, options.maxBodyBytes));
      const endUser = endUserOf(
        header(req, "x-sourcegraph-actor-uid"),
        header(req, "x-sourcegraph-actor-anonymous-uid"),
      );
      const { timeoutMs, beginMs } = timesOf(req);
      await relay(
        parts.relay,
        {
          id: call.requestId,
          traceId: call.traceId,
          span: call.span,
          actor,
          endUser,
          feature,
          edge: "sdk",
          ask: {
            kind: "native",
            upstream: surface.upstream,
            apis: [api.name],
            called: { at, model: call.inPath },
            body,
            headers: req.headers,
            // The body is the caller's: only a caller that speaks our header means us to name the user.
            endUser: endUser?.id === undefined ? undefined : `${actor.id}:${endUser.id}`,
            sourcegraph: undefined,
          },
          timeoutMs,
          beginMs,
          arrivedAt: call.arrivedAt,
          path: call.path,
        },
        createHttpReply(call, surface.errors, parts.heartbeats),
      );
    },
  };
}

function modelsRoute(parts: SdkParts, surface: SdkSurface, path: string): HttpRoute {
  return {
    method: "GET",
    path: surface.prefix + path,
    edge: "sdk",
    errors: surface.errors,
    async handle(call) {
      const actor = await callerOf(parts.authenticator, surface, call);
      const names = await parts.models.native(actor, surface.upstream);
      send(call.res, 200, { "content-type": "application/json" }, JSON.stringify(surface.models?.write(names)));
    },
  };
}

function pick(here: readonly [Called, ...Called[]], req: HttpCall["req"]): Called {
  const asked = query(req);
  const fits = ({ at }: Called): boolean =>
    [...new URLSearchParams(at.query)].every(([name, value]) => asked.get(name) === value);
  return here.find(fits) ?? here[0];
}

function callerOf(authenticator: Authenticator, surface: SdkSurface, { req, span }: HttpCall): Promise<Actor> {
  const { keyHeader, keyParameter } = surface;
  const inHeader = keyHeader === "authorization" ? undefined : header(req, keyHeader)?.trim();
  const key = inHeader || (keyParameter === undefined ? undefined : query(req).get(keyParameter)?.trim());
  return authenticator.authenticate(key || bearerToken(header(req, "authorization")), span);
}

function featureOf(value: string | undefined, api: SdkApi): Feature {
  const name = value?.trim();
  if (!name || api.feature === "embeddings") return api.feature;
  if (name === "chat_completions" || name === "code_completions") return name;
  throw new InvalidRequestError(
    "X-Sourcegraph-Feature must be chat_completions or code_completions, or absent",
    "X-Sourcegraph-Feature",
  );
}

/**
 * `X-Timeout-Ms` is for the whole answer. The seconds that SDKs made with Stainless tell are how long they wait for its beginning:
 * once a stream has begun they read on, however long it takes.
 */
function timesOf(req: HttpCall["req"]): {
  readonly timeoutMs: number | undefined;
  readonly beginMs: number | undefined;
} {
  const timeoutMs = positive(header(req, "x-timeout-ms"));
  const seconds = positive(header(req, "x-stainless-timeout"));
  return { timeoutMs, beginMs: timeoutMs !== undefined || seconds === undefined ? undefined : seconds * 1000 };
}

function positive(value: string | undefined): number | undefined {
  const number = Number(value);
  return number > 0 && Number.isFinite(number) ? number : undefined;
}
