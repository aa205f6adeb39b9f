import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ConnectError, Code } from "@connectrpc/connect";
import type { CompleteRequest, CompletionsService } from "../../gen/codygateway/v1/completions_pb.js";
import { Feature } from "../../gen/codygateway/v1/common_pb.js";
import { features } from "../actors/actor.js";
import { actorOf } from "../auth/interceptor.js";
import { InvalidRequestError } from "../errors.js";
import type { ModelDirectory } from "../models/directory.js";
import { tightest } from "../quota/tightest.js";
import type { RelayParts } from "../relay.js";
import { type Charged, relayStream, relayWhole, type TypedCall } from "../relay-typed.js";
import { fromFeatureEnum, type RateLimitInit, toFeatureEnum, toRateLimit } from "./rate-limit.js";

/** Typed completions, over the same route as the native ones. */
export function completions(parts: { relay: RelayParts; models: ModelDirectory }): ServiceImpl<typeof CompletionsService> {
  return {
    async complete(req, context) {
      const { answer, model, limits } = await relayWhole(parts.relay, typedCall(req, context, false));
      return { ...answer, model, rateLimit: rateLimit(limits) };
    },

    async *streamComplete(req, context) {
      if (!req.completion) throw new InvalidRequestError("completion is required", "completion");
      for await (const { event, charged } of relayStream(parts.relay, typedCall(req.completion, context, true))) {
        if (event.case === "started") yield { event: { ...event, value: { ...event.value, model: charged.model } } };
        else if (event.case === "finished")
          yield { event: { ...event, value: { ...event.value, rateLimit: rateLimit(charged.limits) } } };
        else yield { event };
      }
    },

    countTokens() {
      throw new ConnectError("CountTokens is not available yet", Code.Unimplemented);
    },

    async listModels(req, context) {
      const actor = actorOf(context.values);
      const asked = req.feature === Feature.UNSPECIFIED ? features : [fromFeatureEnum(req.feature)];
      const { models, patterns } = await parts.models.list(actor, asked);
      return {
        models: models.map((model) => ({ ...model, features: model.features.map(toFeatureEnum) })),
        patterns: [...patterns],
      };
    },
  };
}

function rateLimit(limits: Charged["limits"]): RateLimitInit | undefined {
  const state = tightest(limits);
  return state && toRateLimit(state);
}

function typedCall(request: CompleteRequest, context: HandlerContext, stream: boolean): TypedCall {
  const timeoutMs = context.timeoutMs();
  return {
    id: context.requestHeader.get("x-request-id") ?? "",
    actor: actorOf(context.values),
    feature: fromFeatureEnum(request.feature),
    edge: "rpc",
    ask: { kind: "typed", request, stream },
    timeoutMs,
    arrivedAt: performance.now(),
    signal: context.signal,
  };
}
