import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { LimitsService } from "../../gen/codygateway/v1/limits_pb.js";
import type { Actor, EndUser } from "../actors/actor.js";
import type { Sources } from "../actors/sources.js";
import { bearerToken } from "../auth/credentials.js";
import { actorOf } from "../auth/interceptor.js";
import type { Quota } from "../quota/quota.js";
import { tightest } from "../quota/tightest.js";
import { endUserIn } from "./call.js";
import { toFeatureEnum, toRateLimit } from "./rate-limit.js";

export interface LimitsParts {
  readonly quota: Quota;
  readonly sources: Pick<Sources, "refreshFor">;
}

/** What the calling actor has left. */
export function limits({ quota, sources }: LimitsParts): ServiceImpl<typeof LimitsService> {
  return {
    async getLimits(_req, context) {
      return { features: await featuresOf(actorOf(context.values), endUserIn(context.requestHeader)) };
    },

    async refreshLimits(_req, context) {
      const token = bearerToken(context.requestHeader.get("authorization") ?? undefined);
      const known = (await sources.refreshFor(token))?.known;
      return {
        features: await featuresOf(known?.actor ?? actorOf(context.values), endUserIn(context.requestHeader)),
        ...(known && { refreshTime: timestampFromDate(known.told.updatedAt) }),
      };
    },
  };

  async function featuresOf(actor: Actor, user: EndUser | undefined) {
    const byFeature = await quota.limits(actor, user ?? {});
    return [...byFeature].map(([feature, all]) => {
      const states = all.filter(({ perUser }) => !perUser);
      const ofUser = all.filter(({ perUser }) => perUser);
      const state = tightest(states);
      const main = state && toRateLimit(state);
      const [inFlight, userInFlight] = [states, ofUser].map((some) => some.find(({ unit }) => unit === "in_flight"));
      return {
        feature: toFeatureEnum(feature),
        ...(main && { rateLimit: main }),
        rateLimits: states.flatMap((each) => toRateLimit(each) ?? []),
        userRateLimits: ofUser.flatMap((each) => toRateLimit(each) ?? []),
        ...(inFlight && { inFlightLimit: inFlight.limit }),
        inFlight: inFlight?.used ?? 0,
        ...(userInFlight && { userInFlightLimit: userInFlight.limit }),
        userInFlight: userInFlight?.used ?? 0,
        allowedModels: [...(actor.features[feature]?.models ?? [])],
      };
    });
  }
}
