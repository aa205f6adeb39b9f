// Plans of requests that come as a provider's own bodies.

import { InvalidRequestError } from "./errors.js";
import type { Route } from "./models/catalogue.js";
import type { Api, Provider } from "./providers/provider.js";
import type { RelayRequest } from "./relay.js";
import type { NativeAsk } from "./relay-ask.js";
import { batchOf, scanned } from "./relay-embed-plan.js";
import { makePlan, type Plan, type Planner, type PlanParts } from "./relay-plan.js";

/** Its upstream is the one whose route was called. */
export function planNative(planner: Planner, request: RelayRequest, ask: NativeAsk, allowed: readonly string[]): Plan {
  const provider = planner.upstreams.provider(ask.upstream);
  const api = nativeApi(provider, ask);
  const { at, model } = ask.called ?? {};
  const asked = api.read(ask.body, { model, stream: at?.stream });
  if (asked.model === undefined) throw new InvalidRequestError("model is required", "model");
  const { upstream } = ask;
  const embeds = api.feature === "embeddings";
  const catalogue = embeds ? planner.embeddings : planner.catalogue;
  const found = catalogue.resolve({ model: asked.model, upstream, allowed, languageId: asked.languageId });
  const { route } = found;
  // Vectors of different models cannot be compared: none stands in for another.
  const others = embeds ? [] : alike(planner, provider, api, found.others);
  return nativeTo({ request, ask, route, others, provider, api, asked: asked.model, stream: asked.stream });
}

/** What the plan of such a request is made of. */
type NativeTo = Pick<PlanParts, "request" | "route" | "others" | "provider" | "api" | "asked" | "stream"> & {
  readonly ask: NativeAsk;
};

/** The same, once it is known where it goes. */
export function nativeTo({ request, ask, route, others, provider, api, asked, stream }: NativeTo): Plan {
  const { endUser, sourcegraph } = ask;
  const body = ask.body.with(api.rewrite(ask.body, { model: route.model, endUser, sourcegraph }));
  const unasked = api.unasked?.(ask.body);
  const batch = api.feature === "embeddings" ? batchOf(api, scanned(ask.body, body), undefined) : undefined;
  return makePlan({
    request,
    asked,
    route,
    others,
    provider,
    api,
    at: ask.called?.at,
    body,
    given: ask.body,
    unasked,
    batch,
    stream,
    headers: ask.headers,
  });
}

/** Those of the routes whose upstream takes the body as it is. */
function alike(planner: Planner, provider: Provider, api: Api, routes: readonly Route[]): readonly Route[] {
  return routes.length === 0 ? routes : routes.filter((route) => alikeApi(planner, provider, api, route));
}

/** The API of the route's upstream that takes the same bodies and answers alike; undefined: it speaks another language. */
export function alikeApi({ upstreams }: Planner, provider: Provider, api: Api, route: Route): Api | undefined {
  const other = upstreams.provider(route.upstream);
  // Providers of one family have their errors in common.
  if (other.errorBody !== provider.errorBody) return undefined;
  return other.apis.find(({ name }) => name === api.name);
}

function nativeApi(provider: Provider, { apis, body }: NativeAsk): Api {
  let first: Api | undefined;
  for (const name of apis) {
    const api = provider.apis.find((each) => each.name === name);
    if (api === undefined) continue;
    if (api.takes === undefined || api.takes(body)) return api;
    first ??= api;
  }
  if (!first) throw new InvalidRequestError(`${provider.kind} has no ${apis.join(", ")} API`);
  return first;
}
