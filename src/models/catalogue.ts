// Which upstream answers for a model name, and who may use it.

import { ModelNotAllowedError } from "../errors.js";
import { createAllowLists } from "./allow-lists.js";
import { checkModelName, foldName, isModelName, isPattern, withoutPrefix } from "./names.js";
import type { Prices } from "./prices.js";
import { chooseByWeight, createPriceList, createVirtuals, type ModelRule } from "./rules.js";
import { type Served, serve, type UpstreamModels } from "./served.js";

export type { ModelRule, UpstreamModels };

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

/** A model that an actor may use, known by name. */
export interface ListedModel {
  /** Gateway model name. */
  readonly name: string;
  /** The upstream that serves it; undefined for a virtual model with several. */
  readonly upstream: string | undefined;
  /** What the upstream's own routes call it. */
  readonly model: string;
}

/** The models of all upstreams. */
export interface Catalogue {
  /**
   * Where a model name leads. With `upstream`, the name is the upstream's own, with or without `<upstream>/` in front, and
   * only upstreams of its kind are considered; without, it is a gateway name. `allowed` is the actor's list: gateway names
   * and patterns; what has no slash is a name of whichever upstream was asked for.
   * Throws `ModelNotAllowedError`, or `InvalidRequestError` for what can be no name.
   */
  resolve(request: {
    readonly model: string;
    readonly allowed: readonly string[];
    readonly upstream?: string | undefined;
  }): Route;
  /**
   * The models an actor may use that are known by name, in the order of their names: from the allow lists and from
   * `discovered`, what each upstream says it has, in its own names.
   */
  list(allowed: readonly string[], discovered?: ReadonlyMap<string, readonly string[]>): readonly ListedModel[];
  /** Patterns of further names an actor may use. */
  patterns(allowed: readonly string[]): readonly string[];
}

/** `random` is what chooses among weighted routes. Routes of a rule to upstreams that do not exist are left out. */
export function createCatalogue(
  upstreams: readonly UpstreamModels[],
  rules: readonly ModelRule[] = [],
  random: () => number = Math.random,
): Catalogue {
  const served = upstreams.map(serve);
  const byName = new Map(served.map((upstream) => [foldName(upstream.name), upstream]));
  const priceOf = createPriceList(rules);
  const lists = createAllowLists();
  const virtuals = createVirtuals(rules, (name, prices) => {
    const found = split(name);
    if (!found) return undefined;
    const route = routeTo(found.to, found.model);
    return { served: found.to, route: prices ? { ...route, prices } : route };
  });

  function split(name: string): { to: Served; model: string } | undefined {
    const to = byName.get(foldName(name.slice(0, Math.max(0, name.indexOf("/")))));
    return to && { to, model: name.slice(to.name.length + 1) };
  }

  function routeTo(to: Served, asked: string): Route {
    const model = to.spelled(asked);
    const name = `${to.name}/${model}`;
    return { upstream: to.name, model, name, prices: priceOf(name) };
  }

  return {
    resolve({ model, allowed, upstream }) {
      checkModelName(model);
      const surface = upstream === undefined ? undefined : byName.get(foldName(upstream));
      if (upstream !== undefined && !surface) throw new Error(`no upstream named ${upstream}`);
      const found = surface ? { to: surface, model: withoutPrefix(model, surface.name) ?? model } : split(model);
      const name = found ? `${found.to.name}/${found.model}` : model;

      const virtual = virtuals.get(foldName(model)) ?? virtuals.get(foldName(name));
      if (virtual) {
        const open = virtual.targets.filter(
          ({ to }) =>
            (!surface || to.served.kind === surface.kind) &&
            (lists.admits(allowed, (surface ?? to.served).name)(virtual.id) ||
              lists.admits(allowed, to.served.name)(to.route.name)),
        );
        const chosen = chooseByWeight(open, random);
        if (chosen) return chosen.route;
      } else if (found && found.to.serves(found.model) && lists.admits(allowed, found.to.name)(name)) {
        return routeTo(found.to, found.model);
      }
      const asked = found ? [found.to] : served;
      throw new ModelNotAllowedError(
        name,
        asked.flatMap((to) => lists.shared(to.entries, allowed, to.name)),
      );
    },

    list(allowed, discovered = new Map()) {
      const real = served.flatMap((to) => {
        const admits = lists.admits(allowed, to.name);
        return namesOf(to, allowed, rules, discovered.get(to.name) ?? [])
          .map((model) => ({ name: `${to.name}/${model}`, upstream: to.name, model }))
          .filter(({ name, model }) => !virtuals.has(foldName(name)) && to.serves(model) && admits(name));
      });
      const virtual = [...virtuals.values()].flatMap(({ id, targets }) => {
        const open = targets.filter(({ to }) => {
          const admits = lists.admits(allowed, to.served.name);
          return admits(id) || admits(to.route.name);
        });
        return open.length === 0 ? [] : [listedVirtual(id, new Set(open.map(({ to }) => to.served.name)))];
      });
      const first = new Map([...virtual, ...real].toReversed().map((model) => [foldName(model.name), model]));
      return [...first.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    },

    patterns(allowed) {
      return served.flatMap((to) => lists.shared(to.entries, allowed, to.name)).filter(isPattern);
    },
  };
}

function listedVirtual(id: string, upstreams: ReadonlySet<string>): ListedModel {
  const [upstream] = upstreams.size === 1 ? upstreams : [];
  return { name: id, upstream, model: (upstream && withoutPrefix(id, upstream)) ?? id };
}

/** Native names that the upstream might serve to someone with this list. A name without a slash names no upstream. */
function namesOf(
  to: Served,
  allowed: readonly string[],
  rules: readonly ModelRule[],
  discovered: readonly string[],
): string[] {
  const told = [...allowed, ...rules.map(({ id }) => id)]
    .filter((entry) => !isPattern(entry))
    .flatMap((entry) => withoutPrefix(entry, to.name) ?? []);
  return [...to.models, ...discovered, ...told].filter(isModelName);
}
