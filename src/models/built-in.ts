// The rules that come with the gateway, for each upstream by its kind.

import type { Families } from "./allow-lists.js";
import { fireworksFamilies, fireworksVirtuals, type StarcoderShares } from "./fireworks.js";
import { foldName } from "./names.js";
import type { ModelRule } from "./rules.js";
import type { UpstreamModels } from "./served.js";

export type { StarcoderShares };

type Named = Pick<UpstreamModels, "name" | "kind">;

/** Virtual models of these upstreams, in the order of the upstreams. */
export function builtInRules(upstreams: readonly Named[], starcoder: StarcoderShares): readonly ModelRule[] {
  const virtuals = fireworksVirtuals(starcoder);
  return upstreams
    .filter(({ kind }) => kind === "fireworks")
    .flatMap(({ name }) =>
      [...virtuals].map(([model, routes]): ModelRule => {
        const named = routes.map((route) => ({ ...route, model: `${name}/${route.model}` }));
        return { id: `${name}/${model}`, routes: named, prices: undefined, builtIn: true };
      }),
    );
}

/** What entries of allow lists admit beside themselves, in gateway names. */
export function builtInFamilies(upstreams: readonly Named[]): Families {
  const entries = upstreams
    .filter(({ kind }) => kind === "fireworks")
    .flatMap(({ name }) =>
      [...fireworksFamilies].map(([entry, models]) => {
        return [foldName(`${name}/${entry}`), models.map((model) => `${name}/${model}`)] as const;
      }),
    );
  return new Map(entries);
}
