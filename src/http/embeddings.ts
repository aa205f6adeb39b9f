// Embeddings for existing Sourcegraph instances (wire.md 11, 14.2).

import type { Authenticator } from "../auth/authenticate.js";
import { InvalidRequestError, ModelNotAllowedError, UpstreamError } from "../errors.js";
import { type JsonObject, scanJsonObject } from "../lib/json.js";
import { countNumbers } from "../lib/json-walk.js";
import type { RelayParts } from "../relay.js";
import { type EmbedCall, type Embedded, type EmbedRequest, relayEmbed, vectorsJson } from "../relay-embed.js";
import type { ModelDirectory } from "../relay-models.js";
import { readBody } from "./body.js";
import { sourcegraphErrors } from "./errors.js";
import { type HttpError, type HttpRoute, send } from "./http.js";
import { rateLimitHeaders } from "./rate-limit.js";
import { callerOf, goneSignal, timeoutOf, unlessGone, userOf } from "./sourcegraph-call.js";

export interface EmbeddingsParts {
  readonly relay: RelayParts;
  readonly authenticator: Authenticator;
  readonly models: Pick<ModelDirectory, "embeddings">;
}

/** `POST /v1/embeddings` and `GET /v1/embeddings/models`. */
export function embeddingsRoutes(parts: EmbeddingsParts, options: { readonly maxBodyBytes: number }): HttpRoute[] {
  return [embedRoute(parts, options), modelsRoute(parts)];
}

/** Seconds for `retry-after` whenever the provider failed, whatever it said itself: clients are used to it. */
const retryAfterSeconds = "60";

function embedRoute(parts: EmbeddingsParts, options: { readonly maxBodyBytes: number }): HttpRoute {
  return {
    method: "POST",
    path: "/v1/embeddings",
    edge: "sourcegraph",
    errors: sourcegraphErrors,
    tell,
    async handle(call) {
      const actor = await callerOf(parts.authenticator, call);
      const { model, request } = readRequest(scanJsonObject(await readBody(call.req, options.maxBodyBytes)));
      const embedCall: EmbedCall = {
        id: call.requestId,
        traceId: call.traceId,
        span: call.span,
        actor,
        endUser: userOf(call),
        feature: "embeddings",
        edge: "sourcegraph",
        ask: { kind: "embed", model, request, write: writeAnswer },
        timeoutMs: timeoutOf(call),
        arrivedAt: call.arrivedAt,
        path: call.path,
        signal: goneSignal(call),
        isDeadline: () => false,
      };
      const answer = await unlessGone(embedCall.signal, relayEmbed(parts.relay, embedCall));
      if (!answer) return;
      const limits = rateLimitHeaders.admitted(answer.limits);
      const headers: Record<string, string> = {
        "content-type": "application/json; charset=utf-8",
        "x-token-usage": String(answer.tokens),
        "x-cody-resolved-model": answer.model,
      };
      for (let at = 0; at < limits.length; at += 2) headers[limits[at] ?? ""] = limits[at + 1] ?? "";
      send(call.res, 200, headers, answer.body);
    },
  };
}

function readRequest(body: JsonObject): { readonly model: string; readonly request: EmbedRequest } {
  const model = body.get("model");
  if (typeof model !== "string") throw new InvalidRequestError("model must be a string", "model");
  const input = body.get("input");
  const inputs: unknown[] = Array.isArray(input) ? input : [input];
  if (!isTexts(inputs)) throw new InvalidRequestError("input must be an array of strings", "input");
  const isQuery = body.get("isQuery") === true;
  return { model, request: { inputs, dimensions: undefined, purpose: isQuery ? "query" : "document" } };
}

function isTexts(inputs: readonly unknown[]): inputs is readonly string[] {
  return inputs.every((each) => typeof each === "string");
}

/** An input without a vector keeps its place, with an empty one: clients ask for it again by itself. */
function writeAnswer({ vectors, model }: Embedded): Buffer {
  const all = vectorsJson(vectors, (index) => ({ before: `{"index":${index},"data":`, after: "}" }));
  const dimensions = Math.max(0, ...vectors.slice(0, 100).map((vector) => (vector ? countNumbers(vector) : 0)));
  const rest = `,"model":${JSON.stringify(model)},"dimensions":${dimensions}}`;
  return Buffer.concat([Buffer.from('{"embeddings":'), all, Buffer.from(rest)]);
}

/** Errors in the words, and with the wait, that clients of this route know. */
function tell(error: unknown, told: HttpError): HttpError {
  if (error instanceof ModelNotAllowedError)
    return { ...told, message: `model ${JSON.stringify(error.model)} is not allowed` };
  if (!(error instanceof UpstreamError)) return told;
  const headers = { ...told.headers, "retry-after": retryAfterSeconds };
  switch (error.reason) {
    case "UPSTREAM_RATE_LIMITED":
      return { ...told, headers, message: "we're facing too much load at the moment, please retry later" };
    case "UPSTREAM_REFUSED_REQUEST":
      return { ...told, headers, message: `bad request: ${told.message}` };
    case "UPSTREAM_UNAVAILABLE":
      return { ...told, headers, status: 500 };
    default:
      return { ...told, headers };
  }
}

function modelsRoute({ authenticator, models }: EmbeddingsParts): HttpRoute {
  return {
    method: "GET",
    path: "/v1/embeddings/models",
    edge: "sourcegraph",
    errors: sourcegraphErrors,
    async handle(call) {
      const all = await models.embeddings(await callerOf(authenticator, call));
      const body = all.map(({ name, dimensions, enabled, deprecated = false }) => {
        return { name, dimensions, enabled, deprecated };
      });
      send(call.res, 200, { "content-type": "application/json" }, JSON.stringify(body));
    },
  };
}
