// Where names lead: which upstream has a model, and what the model is called and costs there. Who may use it is another matter.

import { createTupleMap } from "../lib/tuple-map.js";
import { foldName } from "./names.js";
import type { Prices } from "./prices.js";
import type { Served } from "./served.js";

/** Where a request goes. */
export interface Route {
  /** Configured name of the upstream. */
  readonly upstream: string;
  /** The upstream's own name of the model. */
  readonly model: string;
  /** Gateway model name, `<upstream>/<model>`. */
  readonly name: string;
  /** Undefined: what it costs is not known. */
  readonly prices: Prices | undefined;
}

/** A model at an upstream. */
export interface Place {
  readonly served: Served;
  readonly route: Route;
}

export interface Places {
  /** The upstream of this name. */
  upstream(name: string): Served | undefined;
  /** A gateway model name in its two parts; undefined where there is no such upstream. */
  split(name: string): { readonly to: Served; readonly model: string } | undefined;
  /** The way to a model, however its name is spelled. */
  routeTo(to: Served, model: string): Route;
  /** Both at once. */
  find(name: string): Place | undefined;
}

/** Most routes that are remembered. */
const maxRoutes = 1_000;

/** What `priceOf` says of gateway names holds for as long as this does. */
export function createPlaces(served: readonly Served[], priceOf: (name: string) => Prices | undefined): Places {
  const byName = new Map(served.map((upstream) => [foldName(upstream.name), upstream]));
  // Callers use few names; others can be made up where patterns allow them.
  const routes = createTupleMap<Route>();

  function split(name: string): { to: Served; model: string } | undefined {
    const to = byName.get(foldName(name.slice(0, Math.max(0, name.indexOf("/")))));
    return to && { to, model: name.slice(to.name.length + 1) };
  }

  function routeTo(to: Served, asked: string): Route {
    const key = [to.name, asked];
    const known = routes.get(key);
    if (known) return known;
    const route = makeRoute(to, asked);
    if (routes.size() < maxRoutes) routes.set(key, route);
    return route;
  }

  function makeRoute(to: Served, asked: string): Route {
    const model = to.spelled(asked);
    const name = `${to.name}/${model}`;
    return { upstream: to.name, model, name, prices: priceOf(name) };
  }

  return {
    upstream: (name) => byName.get(foldName(name)),
    split,
    routeTo,
    find(name) {
      const found = split(name);
      return found && { served: found.to, route: routeTo(found.to, found.model) };
    },
  };
}
