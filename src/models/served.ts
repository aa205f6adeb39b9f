// What one configured upstream serves: its list of models, made ready.

import { compileGlobs } from "../lib/glob.js";
import { type Families, withFamilies } from "./allow-lists.js";
import { defaultModels } from "./defaults.js";
import { foldName, isPattern } from "./names.js";

/** A configured upstream, as far as its models go. */
export interface UpstreamModels {
  /** Prefix of its models. */
  readonly name: string;
  /** How it speaks; upstreams of one kind can stand in for each other. */
  readonly kind: string;
  /** Its allow list, in its own names, with patterns; undefined: the defaults of its kind. */
  readonly models: readonly string[] | undefined;
}

/** One upstream and its list. */
export interface Served {
  readonly name: string;
  readonly kind: string;
  /** Its list as gateway names and patterns. */
  readonly entries: readonly string[];
  /** The native names that its list has as such. */
  readonly models: readonly string[];
  /** Whether a native name is on its list. */
  serves(model: string): boolean;
  /** A native name as its list spells it; as it is where only a pattern matches. */
  spelled(model: string): string;
}

export function serve({ name, kind, models }: UpstreamModels, families: Families): Served {
  const native = models ?? defaultModels.get(kind) ?? [];
  const exact = native.filter((entry) => !isPattern(entry));
  const spelling = new Map(exact.map((model) => [foldName(model), model]));
  const entries = native.map((entry) => `${name}/${entry}`);
  const matches = compileGlobs(withFamilies(entries, families));
  return {
    name,
    kind,
    entries,
    models: exact,
    serves: (model) => matches(`${name}/${model}`),
    spelled: (model) => spelling.get(foldName(model)) ?? model,
  };
}
