// What is known of models beside their names.

import { compileGlobs } from "../lib/glob.js";
import { knownModels } from "./known-models.js";

/** What a model can do. Absent: not known. */
export interface Capabilities {
  readonly chat?: boolean;
  readonly fillInMiddle?: boolean;
  readonly images?: boolean;
  readonly documents?: boolean;
  readonly tools?: boolean;
  readonly reasoning?: boolean;
  readonly jsonSchema?: boolean;
  readonly prediction?: boolean;
}

/** What is known of one model. Absent: not known. */
export interface ModelFacts {
  readonly contextWindowTokens?: number;
  readonly maxOutputTokens?: number;
  readonly capabilities?: Capabilities;
  /** True: it will cease to be served. */
  readonly deprecated?: boolean;
}

const known = new Map(
  [...knownModels].map(([kind, models]) => [
    kind,
    models.map(({ names, ...facts }) => ({ matches: compileGlobs(names), facts })),
  ]),
);

/** What is known of an upstream's model; `kind` is how the upstream speaks. */
export function factsOf(kind: string, model: string): ModelFacts {
  return known.get(kind)?.find(({ matches }) => matches(model))?.facts ?? {};
}

/** What can be relied on whichever of these models answers. */
export function commonFacts(all: readonly ModelFacts[]): ModelFacts {
  const [first = {}, ...others] = all;
  return others.reduce((sum, each) => {
    const context = least(sum.contextWindowTokens, each.contextWindowTokens);
    const output = least(sum.maxOutputTokens, each.maxOutputTokens);
    return {
      ...(context !== undefined && { contextWindowTokens: context }),
      ...(output !== undefined && { maxOutputTokens: output }),
      capabilities: shared(sum.capabilities ?? {}, each.capabilities ?? {}),
      deprecated: sum.deprecated === true && each.deprecated === true,
    };
  }, first);
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : Math.min(one, other);
}

function shared(one: Capabilities, other: Capabilities): Capabilities {
  const names = Object.keys(one) as (keyof Capabilities)[];
  return Object.fromEntries(names.filter((name) => one[name] === other[name]).map((name) => [name, one[name]]));
}
