// What must hold between the entries of the configuration file.

import type { StaticActor } from "../actors/sources/static.js";
import { checkFlagging } from "./flagging.js";
import { vendors } from "./settings.js";

/** Something wrong at a place in the file. */
export interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** First segments of the gateway's own paths: a provider's routes are below its name. */
const reserved = new Set(["v1", "metrics", "livez", "readyz", "maintenance"]);

/**
 * Checks names and what refers to them. `raw` is the file as it was read: it may be wrong in other ways, and what is
 * wrong there must not hide what is wrong here. `upstreams` are the names that the environment configures.
 */
export function checkNames(raw: unknown, upstreams: readonly string[], kinds: readonly string[] | undefined): Issue[] {
  const providers = entries(raw, "providers");
  const models = entries(raw, "models");
  const known = new Set([...upstreams, ...providers.map(({ value }) => value["name"])]);
  const virtual = new Set(models.flatMap(({ value }) => (Array.isArray(value["routes"]) ? [value["id"]] : [])));

  const targets = models.flatMap(({ path, value }) => {
    const listed = [...entries(value, "routes"), ...entries(value, "fallbacks")];
    const named = listed.map((each) => ({ path: [...path, ...each.path, "model"], model: each.value["model"] }));
    // A name without routes is a model itself.
    return virtual.has(value["id"]) ? named : [...named, { path: [...path, "id"], model: value["id"], own: true }];
  });
  return [
    ...twice(providers, "name"),
    ...twice(models, "id"),
    ...twice(entries(raw, "actors"), "id"),
    ...providers.flatMap((entry) => checkProvider(entry, kinds)),
    ...targets.flatMap((target) => checkTarget(target, known, virtual)),
    ...(isRecord(raw) ? checkFlagging(raw["flagging"], known) : []),
  ];
}

/** What a provider needs depends on its kind: a vendor is known but for its key, of others all must be said. */
function checkProvider({ path, value }: Entry, kinds: readonly string[] | undefined): Issue[] {
  const { name, kind, keys, baseUrl, models } = value;
  const issue = (key: string, expected: string): Issue => ({ path: [...path, key], message: `expected ${expected}` });
  const issues: Issue[] = [];
  if (reserved.has(String(name))) issues.push(issue("name", "another name: this one is a path of the gateway"));
  if (typeof name === "string" && Object.hasOwn(vendors, name) && kind !== name) {
    issues.push(issue("name", `another name, or the kind ${name}: the name is that vendor's`));
  }
  if (typeof kind !== "string" || kinds?.includes(kind) === false) return issues;
  if (Object.hasOwn(vendors, kind)) {
    if (!Array.isArray(keys) || keys.length === 0) issues.push(issue("keys", "at least one key"));
    return issues;
  }
  if (baseUrl === undefined) issues.push(issue("baseUrl", `a URL, which the kind ${kind} does not say by itself`));
  if (models === undefined) issues.push(issue("models", 'a list, such as ["*"] for all it serves'));
  return issues;
}

function checkTarget(
  { path, model }: { path: PropertyKey[]; model: unknown },
  known: ReadonlySet<unknown>,
  virtual: ReadonlySet<unknown>,
): Issue[] {
  if (typeof model !== "string" || !model.includes("/")) return [];
  if (virtual.has(model)) return [{ path, message: "expected a model, not a name that has routes itself" }];
  const provider = model.slice(0, model.indexOf("/"));
  return known.has(provider)
    ? []
    : [{ path, message: `expected a model of a configured provider: there is no ${provider}` }];
}

/** A token leads to one actor. */
export function checkTokens(actors: readonly StaticActor[]): Issue[] {
  const seen = new Set<string>();
  return actors.flatMap(({ tokenSha256 }, index) =>
    tokenSha256.flatMap((digest, at) => {
      if (!seen.has(digest)) {
        seen.add(digest);
        return [];
      }
      return [{ path: ["actors", index, "tokens", at], message: "expected a token that is not listed before" }];
    }),
  );
}

interface Entry {
  readonly path: PropertyKey[];
  readonly value: Readonly<Record<string, unknown>>;
}

/** The objects listed under `key`, whatever else is there. */
function entries(parent: unknown, key: string): Entry[] {
  const list: unknown = isRecord(parent) ? parent[key] : undefined;
  if (!Array.isArray(list)) return [];
  return list.flatMap((value: unknown, index) => (isRecord(value) ? [{ path: [key, index], value }] : []));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function twice(all: readonly Entry[], key: string): Issue[] {
  const seen = new Set<unknown>();
  return all.flatMap(({ path, value }) => {
    const name = value[key];
    if (name === undefined || !seen.has(name)) {
      seen.add(name);
      return [];
    }
    return [{ path: [...path, key], message: "expected a value of its own: an entry before has the same" }];
  });
}
