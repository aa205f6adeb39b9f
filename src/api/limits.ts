import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { LimitsService } from "../../gen/codygateway/v1/limits_pb.js";
import { actorOf } from "../auth/interceptor.js";
import type { Quota } from "../quota/quota.js";
import { tightest } from "../quota/tightest.js";
import { toFeatureEnum, toRateLimit } from "./rate-limit.js";

/** What the calling actor has left. */
export function limits(parts: { quota: Quota }): ServiceImpl<typeof LimitsService> {
  return {
    async getLimits(_req, context) {
      const actor = actorOf(context.values);
      const byFeature = await parts.quota.limits(actor);
      return {
        features: [...byFeature].map(([feature, states]) => {
          const state = tightest(states);
          const main = state && toRateLimit(state);
          const inFlight = states.find(({ unit }) => unit === "in_flight");
          return {
            feature: toFeatureEnum(feature),
            ...(main && { rateLimit: main }),
            rateLimits: states.flatMap((each) => toRateLimit(each) ?? []),
            ...(inFlight && { inFlightLimit: inFlight.limit }),
            inFlight: inFlight?.used ?? 0,
            allowedModels: [...(actor.features[feature]?.models ?? [])],
          };
        }),
      };
    },

    refreshLimits() {
      throw new ConnectError("RefreshLimits is not available yet", Code.Unimplemented);
    },
  };
}
