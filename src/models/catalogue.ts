// Which upstream answers for a model name, and who may use it.

import { ModelNotAllowedError } from "../errors.js";
import { compileGlobs } from "../lib/glob.js";
import { type AllowLists, createAllowLists } from "./allow-lists.js";
import { defaultModels } from "./defaults.js";
import { checkModelName, foldName, isPattern, withoutPrefix } from "./names.js";
import type { Prices } from "./prices.js";

/** A configured upstream, as far as its models go. */
export interface UpstreamModels {
  /** Prefix of its models. */
  readonly name: string;
  /** How it speaks; upstreams of one kind can stand in for each other. */
  readonly kind: string;
  /** Its allow list, in its own names, with patterns; undefined: the defaults of its kind. */
  readonly models: readonly string[] | undefined;
}

/** A model name with a rule of its own. */
export interface ModelRule {
  /** Gateway model name. Without routes, it may be a pattern (`anthropic/claude-opus-*`): then it is a rule for prices. */
  readonly id: string;
  /** Gateway names of the models it stands for, by weight; empty: it is a model itself. */
  readonly routes: readonly { readonly model: string; readonly weight: number }[];
  readonly prices: Prices | undefined;
}

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

/** One upstream's list, made ready. */
interface Served {
  readonly name: string;
  readonly kind: string;
  /** Its list as gateway names and patterns. */
  readonly entries: readonly string[];
  /** Exact native names by folded name: how they are spelled. */
  readonly spelling: ReadonlyMap<string, string>;
  /** Whether a native name is on its list. */
  readonly serves: (model: string) => boolean;
}

interface Virtual {
  readonly id: string;
  readonly targets: readonly { readonly to: Served; readonly route: Route; readonly weight: number }[];
}

/** `random` is what chooses among weighted routes. Routes of a rule to upstreams that do not exist are left out. */
export function createCatalogue(
  upstreams: readonly UpstreamModels[],
  models: readonly ModelRule[] = [],
  random: () => number = Math.random,
): Catalogue {
  const served = upstreams.map(serve);
  const byName = new Map(served.map((upstream) => [foldName(upstream.name), upstream]));
  const priceOf = createPriceList(models);
  const lists = createAllowLists();

  const routeTo = (to: Served, model: string): Route => {
    const name = `${to.name}/${model}`;
    return { upstream: to.name, model, name, prices: priceOf(name) };
  };
  const split = (name: string): { to: Served; model: string } | undefined => {
    const to = byName.get(foldName(name.slice(0, Math.max(0, name.indexOf("/")))));
    return to && { to, model: name.slice(to.name.length + 1) };
  };
  const virtuals = new Map(
    models
      .filter(({ routes }) => routes.length > 0)
      .map(({ id, routes, prices }) => {
        const targets = routes.flatMap(({ model, weight }) => {
          const found = split(model);
          if (!found) return [];
          const route = routeTo(found.to, found.to.spelling.get(foldName(found.model)) ?? found.model);
          return [{ to: found.to, route: prices ? { ...route, prices } : route, weight }];
        });
        return [foldName(id), { id, targets }] satisfies [string, Virtual];
      }),
  );

  const choose = (targets: Virtual["targets"]): Route | undefined => {
    let rest = random() * targets.reduce((sum, { weight }) => sum + weight, 0);
    for (const { route, weight } of targets) {
      rest -= weight;
      if (rest < 0) return route;
    }
    return targets.at(-1)?.route;
  };

  return {
    resolve({ model, allowed, upstream }) {
      checkModelName(model);
      const surface = upstream === undefined ? undefined : byName.get(foldName(upstream));
      if (upstream !== undefined && !surface) throw new Error(`no upstream named ${upstream}`);
      const found = surface ? { to: surface, model: withoutPrefix(model, surface.name) ?? model } : split(model);
      const name = found ? `${found.to.name}/${found.model}` : model;

      const virtual = virtuals.get(foldName(model)) ?? virtuals.get(foldName(name));
      if (virtual) {
        const alike = virtual.targets.filter(({ to }) => !surface || to.kind === surface.kind);
        const admitted = alike.filter(({ to, route }) => {
          const admits = lists.admits(allowed, (surface ?? to).name);
          return admits(virtual.id) || lists.admits(allowed, to.name)(route.name);
        });
        const route = choose(admitted);
        if (route) return route;
      } else if (found) {
        const { to } = found;
        if (to.serves(found.model) && lists.admits(allowed, to.name)(name))
          return routeTo(to, to.spelling.get(foldName(found.model)) ?? found.model);
      }
      const asked = found ? [found.to] : served;
      throw new ModelNotAllowedError(
        name,
        asked.flatMap((to) => lists.shared(to.entries, allowed, to.name)),
      );
    },

    list(allowed, discovered = new Map()) {
      const listed = new Map<string, ListedModel>();
      const add = (model: ListedModel): void => {
        if (!listed.has(foldName(model.name))) listed.set(foldName(model.name), model);
      };
      for (const to of served) {
        const admits = lists.admits(allowed, to.name);
        for (const model of namesOf(to, allowed, models, discovered.get(to.name) ?? [], lists)) {
          const name = `${to.name}/${model}`;
          if (!virtuals.has(foldName(name)) && to.serves(model) && admits(name))
            add({ name, upstream: to.name, model });
        }
      }
      for (const { id, targets } of virtuals.values()) {
        const admitted = targets.filter(({ to, route }) => {
          const admits = lists.admits(allowed, to.name);
          return admits(id) || admits(route.name);
        });
        const first = admitted[0]?.to;
        if (!first) continue;
        const upstream = admitted.every(({ to }) => to === first) ? first.name : undefined;
        add({ name: id, upstream, model: (upstream && withoutPrefix(id, upstream)) ?? id });
      }
      return [...listed.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    },

    patterns(allowed) {
      return served.flatMap((to) => lists.shared(to.entries, allowed, to.name)).filter(isPattern);
    },
  };
}

function serve({ name, kind, models }: UpstreamModels): Served {
  const native = models ?? defaultModels.get(kind) ?? [];
  const exact = native.filter((entry) => !isPattern(entry));
  return {
    name,
    kind,
    entries: native.map((entry) => `${name}/${entry}`),
    spelling: new Map(exact.map((model) => [foldName(model), model])),
    serves: compileGlobs(native),
  };
}

/** Native names that the upstream might serve to someone with this list. */
function namesOf(
  to: Served,
  allowed: readonly string[],
  models: readonly ModelRule[],
  discovered: readonly string[],
  lists: AllowLists,
): string[] {
  const own = [...lists.entries(allowed, to.name), ...models.map(({ id }) => id)]
    .filter((entry) => !isPattern(entry))
    .flatMap((entry) => withoutPrefix(entry, to.name) ?? []);
  return [...to.spelling.values(), ...discovered, ...own];
}

/** Prices by gateway name: an exact name's before a pattern's, the first pattern's before others. */
function createPriceList(models: readonly ModelRule[]): (name: string) => Prices | undefined {
  const priced = models.flatMap(({ id, prices }) => (prices ? [{ id, prices }] : []));
  const exact = new Map(priced.filter(({ id }) => !isPattern(id)).map(({ id, prices }) => [foldName(id), prices]));
  const patterns = priced
    .filter(({ id }) => isPattern(id))
    .map(({ id, prices }) => ({ matches: compileGlobs([id]), prices }));
  return (name) => exact.get(foldName(name)) ?? patterns.find(({ matches }) => matches(name))?.prices;
}
