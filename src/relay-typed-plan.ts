// Plans of requests in the gateway's own words: typed RPCs.

import { InvalidRequestError } from "./errors.js";
import { scanJsonObject } from "./lib/json.js";
import type { Api, Provider } from "./providers/provider.js";
import type { CompleteRequest, TypedApi } from "./providers/typed.js";
import type { RelayRequest } from "./relay.js";
import type { CountAsk, TypedAsk } from "./relay-ask.js";
import { makePlan, type Plan, type Planner } from "./relay-plan.js";

/** By whichever upstream serves the model. */
export function planTyped(planner: Planner, request: RelayRequest, ask: TypedAsk, allowed: readonly string[]): Plan {
  return typedTo(planner, request, ask, typedRoute(planner, ask.request, allowed));
}

/** The same, once it is known where it goes. */
export function typedTo(
  planner: Planner,
  request: RelayRequest,
  ask: TypedAsk,
  to: Pick<Plan, "route" | "others">,
): Plan {
  const { route } = to;
  const provider = planner.upstreams.provider(route.upstream);
  const api = typedApi(provider, ask.request, route.model);
  const encoded = scanJsonObject(Buffer.from(JSON.stringify(api.typed.encode(ask.request, route.model, ask.stream))));
  // Whatever `provider_options` said: the end user is the gateway's to name.
  const endUser = `${request.actor.id}:${ask.endUser}`;
  const body = encoded.with(api.rewrite(encoded, { model: route.model, endUser, sourcegraph: undefined }));
  return makePlan({
    request,
    asked: ask.request.model,
    route,
    others: to.others,
    provider,
    api,
    at: undefined,
    body,
    given: encoded,
    unasked: undefined,
    batch: undefined,
    stream: ask.stream,
    headers: {},
  });
}

function typedRoute({ catalogue }: Planner, { model, input }: CompleteRequest, allowed: readonly string[]) {
  const languageId = input.case === "prompt" ? input.value.languageId : undefined;
  return catalogue.resolve({ model, allowed, languageId });
}

/** By the provider's own counting where it has such for this input, else for `countHere`. */
export function planCount(
  planner: Planner,
  request: RelayRequest,
  { request: asked }: CountAsk,
  allowed: readonly string[],
): Plan {
  const { route } = typedRoute(planner, asked, allowed);
  const provider = planner.upstreams.provider(route.upstream);
  const own = asked.input.case === "chat" ? provider.apis.find(({ count }) => count !== undefined) : undefined;
  const api = own ?? { ...typedApi(provider, asked, route.model), free: true as const };
  const encoded = own?.count?.encode(asked, route.model) ?? api.typed?.encode(asked, route.model, false);
  const body = Buffer.from(JSON.stringify(encoded));
  const called = { asked: asked.model, stream: false };
  const to = { route, others: [], provider, api, at: undefined };
  return makePlan({ request, ...to, body, unasked: undefined, ...called, headers: {} });
}

/** The API that the typed RPCs use for this request to this provider. Throws `InvalidRequestError` when there is none. */
export function typedApi(
  provider: Provider,
  request: CompleteRequest,
  model: string,
): Api & { readonly typed: TypedApi } {
  const apis = provider.apis.filter(isTyped);
  // Where none takes it, the first one says why not.
  const api = apis.find(({ typed }) => typed.takes === undefined || typed.takes(request, model)) ?? apis[0];
  if (!api) throw new InvalidRequestError(`${provider.kind} models have no typed API`, "model");
  return api;
}

function isTyped(api: Api): api is Api & { readonly typed: TypedApi } {
  return api.typed !== undefined;
}
