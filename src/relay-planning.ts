// What a request asks for, where it goes and what it may cost: decided before anything is held or sent.

import { FeatureNotGrantedError, InvalidRequestError } from "./errors.js";
import type { Route } from "./models/catalogue.js";
import type { RelayRequest } from "./relay.js";
import { planEmbed } from "./relay-embed-plan.js";
import { alikeApi, nativeTo, planNative } from "./relay-native-plan.js";
import { makePlan, type Plan, type Planner } from "./relay-plan.js";
import { planCount, planTyped, typedTo } from "./relay-typed-plan.js";

/** Throws a `GatewayError` when the actor may not have this, or the request is wrong. */
export function planOf(planner: Planner, request: RelayRequest): Plan {
  const access = request.actor.features[request.feature];
  if (!access) throw new FeatureNotGrantedError(request.feature);
  const { ask } = request;
  if (ask.kind === "native") return planNative(planner, request, ask, access.models);
  if (ask.kind === "embed") return makePlan({ request, ...planEmbed(planner, request.actor, ask, access.models) });
  if (ask.kind === "typed") return planTyped(planner, request, ask, access.models);
  return planCount(planner, request, ask, access.models);
}

/**
 * The plan with another model in place of its own; undefined where its upstream cannot take the request. What was reserved
 * stays as it is.
 */
export function planOther(planner: Planner, request: RelayRequest, first: Plan, route: Route): Plan | undefined {
  const { ask } = request;
  const { asked, quota } = first;
  const { stream } = first.upstream;
  const provider = planner.upstreams.provider(route.upstream);
  try {
    if (ask.kind === "native") {
      const api = alikeApi(planner, first.provider, first.upstream.api, route);
      return api && { ...nativeTo({ request, ask, route, others: [], provider, api, asked, stream }), quota };
    }
    return ask.kind === "typed" ? { ...typedTo(planner, request, ask, { route, others: [] }), quota } : undefined;
  } catch (error) {
    // What the caller asks for and this model cannot do.
    if (error instanceof InvalidRequestError) return undefined;
    throw error;
  }
}
