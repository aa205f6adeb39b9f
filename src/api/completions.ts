import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { Feature, type RateLimit } from "../../gen/codygateway/v1/common_pb.js";
import {
  type CompleteRequest,
  CompleteResponseSchema,
  type CompletionsService,
  StreamCompleteResponseSchema,
} from "../../gen/codygateway/v1/completions_pb.js";
import { features } from "../actors/actor.js";
import { endUserOf } from "../auth/end-user.js";
import { actorOf } from "../auth/interceptor.js";
import { InvalidRequestError } from "../errors.js";
import type { Tokenizer } from "../models/tokenizer.js";
import { tightest } from "../quota/tightest.js";
import type { RelayParts } from "../relay.js";
import { relayCount } from "../relay-count.js";
import type { ModelDirectory } from "../relay-models.js";
import { type Charged, relayStream, relayWhole, type TypedCall } from "../relay-typed.js";
import { fromFeatureEnum, toFeatureEnum, toRateLimit } from "./rate-limit.js";

/** Typed completions, over the same route as the native ones. */
export function completions(parts: {
  relay: RelayParts & { tokenizer: Tokenizer };
  models: ModelDirectory;
}): ServiceImpl<typeof CompletionsService> {
  return {
    async complete(req, context) {
      const call = typedCall(req, context, false);
      const { answer, model, limits } = await relayWhole(parts.relay, call);
      const message = create(CompleteResponseSchema, answer);
      // Some providers give their answers no id.
      message.id ||= call.id;
      message.model = model;
      Object.assign(message, rateLimit(limits));
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
        if (message.event.case === "finished") Object.assign(message.event.value, rateLimit(charged.limits));
        yield message;
      }
    },

    async countTokens(req, context) {
      if (!req.completion) throw new InvalidRequestError("completion is required", "completion");
      const ask = { kind: "count", request: req.completion } as const;
      return relayCount(parts.relay, { ...callOf(req.completion, context), ask });
    },

    async listModels(req, context) {
      const actor = actorOf(context.values);
      const asked = req.feature === Feature.UNSPECIFIED ? features : [fromFeatureEnum(req.feature)];
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

function rateLimit(limits: Charged["limits"]): { rateLimit?: RateLimit } {
  const state = tightest(limits);
  const message = state && toRateLimit(state);
  return message ? { rateLimit: message } : {};
}

function typedCall(request: CompleteRequest, context: HandlerContext, stream: boolean): TypedCall {
  const call = callOf(request, context);
  return { ...call, ask: { kind: "typed", request, stream, endUser: call.endUser?.id ?? "" } };
}

function callOf(request: CompleteRequest, context: HandlerContext): Omit<TypedCall, "ask"> {
  const { requestHeader } = context;
  return {
    id: requestHeader.get("x-request-id") ?? "",
    traceId: requestHeader.get("x-trace") ?? "",
    actor: actorOf(context.values),
    endUser: endUserOf(
      requestHeader.get("x-sourcegraph-actor-uid"),
      requestHeader.get("x-sourcegraph-actor-anonymous-uid"),
    ),
    feature: fromFeatureEnum(request.feature),
    edge: "rpc",
    timeoutMs: context.timeoutMs(),
    arrivedAt: performance.now(),
    path: new URL(context.url).pathname,
    signal: context.signal,
    isDeadline,
  };
}

function isDeadline(reason: unknown): boolean {
  return reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}
