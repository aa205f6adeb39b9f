import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { Feature, UsageSchema } from "../../gen/codygateway/v1/common_pb.js";
import {
  type CompleteRequest,
  CompleteResponseSchema,
  type CompletionsService,
  StreamCompleteResponseSchema,
} from "../../gen/codygateway/v1/completions_pb.js";
import { features } from "../actors/actor.js";
import { actorOf } from "../auth/interceptor.js";
import { InvalidRequestError } from "../errors.js";
import type { Tokenizer } from "../models/tokenizer.js";
import type { RelayParts } from "../relay.js";
import { relayCount } from "../relay-count.js";
import type { ModelDirectory } from "../relay-models.js";
import { relayStream, relayWhole, type TypedCall } from "../relay-typed.js";
import { callOf } from "./call.js";
import { chargedLimit, fromFeatureEnum, toFeatureEnum } from "./rate-limit.js";

/** Typed completions, over the same route as the native ones. */
export function completions(parts: {
  relay: RelayParts & { tokenizer: Tokenizer };
  models: ModelDirectory;
}): ServiceImpl<typeof CompletionsService> {
  return {
    async complete(req, context) {
      const call = typedCall(req, context, false);
      const { answer, model, limits, counted } = await relayWhole(parts.relay, call);
      const message = create(CompleteResponseSchema, answer);
      // Some providers give their answers no id.
      message.id ||= call.id;
      message.model = model;
      if (counted) message.usage = create(UsageSchema, counted);
      Object.assign(message, chargedLimit(limits));
      return message;
    },

    async *streamComplete(req, context) {
      if (!req.completion) throw new InvalidRequestError("completion is required", "completion");
      const call = typedCall(req.completion, context, true);
      for await (const { event, charged } of relayStream(parts.relay, call)) {
        const message = create(StreamCompleteResponseSchema, { event });
        if (message.event.case === "started") {
          message.event.value.id ||= call.id;
          message.event.value.model = charged.model;
        }
        if (message.event.case === "finished") {
          if (charged.counted) message.event.value.usage = create(UsageSchema, charged.counted);
          Object.assign(message.event.value, chargedLimit(charged.limits));
        }
        yield message;
      }
    },

    async countTokens(req, context) {
      if (!req.completion) throw new InvalidRequestError("completion is required", "completion");
      const request = req.completion;
      const call = callOf(fromFeatureEnum(request.feature), context, () => ({ kind: "count", request }) as const);
      return relayCount(parts.relay, call);
    },

    async listModels(req, context) {
      const actor = actorOf(context.values);
      const asked =
        req.feature === Feature.UNSPECIFIED
          ? features.filter((feature) => feature !== "embeddings")
          : [fromFeatureEnum(req.feature)];
      const { models, patterns } = await parts.models.list(actor, asked);
      return {
        models: models.map(({ name, provider, features: usable, facts }) => ({
          name,
          provider,
          features: usable.map(toFeatureEnum),
          ...facts,
        })),
        patterns: [...patterns],
      };
    },
  };
}

function typedCall(request: CompleteRequest, context: HandlerContext, stream: boolean): TypedCall {
  return callOf(fromFeatureEnum(request.feature), context, (endUser) => {
    return { kind: "typed", request, stream, endUser: endUser?.id ?? "" };
  });
}
