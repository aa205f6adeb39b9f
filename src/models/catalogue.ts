// Which upstream answers for a model name, and who may use it: one decision for requests, listings and explanations.

import { ModelNotAllowedError } from "../errors.js";
import { createAllowLists } from "./allow-lists.js";
import { builtInFamilies } from "./built-in.js";
import { checkModelName, foldName, isModelName, isPattern, withoutPrefix } from "./names.js";
import { createPlaces, type Place, type Route } from "./places.js";
import {
  chooseByWeight,
  createFallbackList,
  createPriceList,
  createVirtuals,
  forLanguage,
  type ModelRule,
  type Target,
} from "./rules.js";
import { type Served, serve, type UpstreamModels } from "./served.js";

export type { ModelRule, Route, UpstreamModels };

/** What a caller asks for. */
export interface ModelRequest {
  readonly model: string;
  /** The actor's list: gateway names and patterns; what has no slash is a name of whichever upstream was asked for. */
  readonly allowed: readonly string[];
  /** The upstream whose own route was called: then only upstreams of its kind are considered. */
  readonly upstream?: string | undefined;
  /** Programming language of the prompt, where the caller says it. */
  readonly languageId?: string | undefined;
}

/** Whether a model may be used, and where it leads. */
export type Decision =
  /** `certain`: the name leads nowhere else, as long as that answers. `others`: what may take over when it fails, in order. */
  | { readonly kind: "allowed"; readonly route: Route; readonly certain: boolean; readonly others: readonly Route[] }
  /** `name` is the gateway name that was asked for, `entries` what may be used in its place, for people to read. */
  | { readonly kind: "refused"; readonly name: string; readonly entries: readonly string[] };

/** A model that an actor may use, known by name. */
export interface ListedModel {
  /** Gateway model name. */
  readonly name: string;
  /** The upstream that serves it; undefined for a virtual model with several. */
  readonly upstream: string | undefined;
  /** What the upstream's own routes call it. */
  readonly model: string;
  /** The upstream's own names of what it can lead to. */
  readonly leadsTo: readonly { readonly upstream: string; readonly model: string }[];
}

/** The models of all upstreams. */
export interface Catalogue {
  /**
   * Where a model name leads. With `upstream`, the name is the upstream's own, with or without `<upstream>/` in front;
   * without, it is a gateway name. Throws `InvalidRequestError` for what can be no name.
   */
  decide(request: ModelRequest): Decision;
  /** The same, and throws `ModelNotAllowedError` where it is refused. */
  resolve(request: ModelRequest): Pick<Extract<Decision, { kind: "allowed" }>, "route" | "others">;
  /**
   * The models an actor may use that are known by name, in the order of their names: from the allow lists and from
   * `discovered`, what each upstream says it has, in its own names.
   */
  list(allowed: readonly string[], discovered?: ReadonlyMap<string, readonly string[]>): readonly ListedModel[];
  /** Patterns of further names an actor may use. */
  patterns(allowed: readonly string[]): readonly string[];
}

const none: readonly Route[] = [];

/** `random` is what chooses among weighted routes. Routes of a rule to upstreams that do not exist are left out. */
export function createCatalogue(
  upstreams: readonly UpstreamModels[],
  rules: readonly ModelRule[] = [],
  random: () => number = Math.random,
): Catalogue {
  const families = builtInFamilies(upstreams);
  const served = upstreams.map((upstream) => serve(upstream, families));
  const places = createPlaces(served, createPriceList(rules));
  const lists = createAllowLists(families);
  const fallbacksOf = createFallbackList(rules, places.find);
  const virtuals = createVirtuals(rules, (name, prices): Place | undefined => {
    const place = places.find(name);
    return place && prices ? { ...place, route: { ...place.route, prices } } : place;
  });

  /** Whether an upstream's model may be used by somebody with this list. */
  function isOpen(to: Served, model: string, allowed: readonly string[]): boolean {
    return to.serves(model) && lists.admits(allowed, to.name)(`${to.name}/${model}`);
  }

  /** Whether a name may be used for one of its targets. `surface`: the upstream whose own route was called. */
  function isOpenTarget(virtual: VirtualModel, { to }: Target<Place>, allowed: readonly string[], surface?: Served) {
    const { served: target, route } = to;
    if (surface && surface.kind !== target.kind) return false;
    if (virtual.builtIn && !target.serves(withoutPrefix(virtual.id, target.name) ?? "") && !target.serves(route.model))
      return false;
    const listOf = surface ?? target;
    return lists.admits(allowed, listOf.name)(virtual.id) || lists.admits(allowed, target.name)(route.name);
  }

  /** What may take over from `route`: the other targets that are open, then the fallbacks that the actor may use itself. */
  function othersOf(route: Route, open: readonly Target<Place>[], id: string, allowed: readonly string[]) {
    if (open.length < 2 && fallbacksOf === undefined) return none;
    const fallbacks = [...(fallbacksOf?.(id) ?? []), ...((id !== route.name && fallbacksOf?.(route.name)) || [])];
    const all = [
      ...open.map(({ to }) => to.route),
      ...fallbacks
        .filter(({ served: to, route: next }) => lists.admits(allowed, to.name)(next.name))
        .map((place) => place.route),
    ];
    const others = new Map(all.map((each) => [each.name, each]));
    others.delete(route.name);
    return [...others.values()];
  }

  const catalogue: Catalogue = {
    decide({ model, allowed, upstream, languageId }) {
      checkModelName(model);
      const surface = upstream === undefined ? undefined : places.upstream(upstream);
      if (upstream !== undefined && !surface) throw new Error(`no upstream named ${upstream}`);
      const found = surface ? { to: surface, model: withoutPrefix(model, surface.name) ?? model } : places.split(model);
      const name = found ? `${found.to.name}/${found.model}` : model;

      const virtual = virtuals.get(foldName(model)) ?? virtuals.get(foldName(name));
      if (virtual) {
        const targets = forLanguage(virtual.targets, languageId);
        const open = targets.filter((target) => isOpenTarget(virtual, target, allowed, surface));
        const chosen = chooseByWeight(open, random);
        if (chosen) {
          const { route } = chosen;
          const others = othersOf(route, open, virtual.id, allowed);
          return { kind: "allowed", route, certain: open.length === 1, others };
        }
      } else if (found && isOpen(found.to, found.model, allowed)) {
        const route = places.routeTo(found.to, found.model);
        return { kind: "allowed", route, certain: true, others: othersOf(route, [], route.name, allowed) };
      }
      const asked = found ? [found.to] : served;
      const entries = asked.flatMap((to) => lists.shared(to.entries, allowed, to.name));
      return { kind: "refused", name, entries };
    },

    resolve(request) {
      const decision = catalogue.decide(request);
      if (decision.kind === "refused") throw new ModelNotAllowedError(decision.name, decision.entries);
      return decision;
    },

    list(allowed, discovered = new Map()) {
      const real = served.flatMap((to) =>
        namesOf(to, allowed, rules, discovered.get(to.name) ?? [])
          .filter((model) => !virtuals.has(foldName(`${to.name}/${model}`)) && isOpen(to, model, allowed))
          .map((model) => {
            const leadsTo = [{ upstream: to.name, model }];
            return { name: `${to.name}/${model}`, upstream: to.name, model, leadsTo };
          }),
      );
      const virtual = [...virtuals.values()].flatMap((each) => {
        const open = each.targets.filter((target) => isOpenTarget(each, target, allowed));
        return open.length === 0 ? [] : [listedVirtual(each.id, open)];
      });
      const first = new Map([...virtual, ...real].toReversed().map((model) => [foldName(model.name), model]));
      return [...first.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    },

    patterns(allowed) {
      return served.flatMap((to) => lists.shared(to.entries, allowed, to.name)).filter(isPattern);
    },
  };
  return catalogue;
}

type VirtualModel = NonNullable<ReturnType<ReturnType<typeof createVirtuals<Place>>["get"]>>;

function listedVirtual(id: string, open: readonly Target<Place>[]): ListedModel {
  const upstreams = new Set(open.map(({ to }) => to.served.name));
  const [upstream] = upstreams.size === 1 ? upstreams : [];
  const leadsTo = open.map(({ to }) => ({ upstream: to.route.upstream, model: to.route.model }));
  return { name: id, upstream, model: (upstream && withoutPrefix(id, upstream)) ?? id, leadsTo };
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
