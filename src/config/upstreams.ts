// Which upstreams there are: those of the environment, and those of the file in place of them.

import { withoutPrefix } from "../models/names.js";
import type { EnvironmentReading, Vendor } from "./environment.js";
import { settings, vendors as vendorSettings } from "./settings.js";
import type { EmbeddingsConfig, UpstreamConfig } from "./types.js";

/** The vendors that have a key in the environment. */
export function environmentUpstreams({ values, vendors }: EnvironmentReading): UpstreamConfig[] {
  const upstreams = (Object.keys(vendors) as Vendor[]).flatMap((name): UpstreamConfig[] => {
    const { key, baseUrl, models } = vendors[name];
    if (key === undefined) return [];
    const organization = name === "openai" ? values.openaiOrganization : undefined;
    const headers: Record<string, string> = organization ? { "OpenAI-Organization": organization } : {};
    const keys = [{ name: vendorSettings[name].key.name, value: key, weight: 1 }];
    return [{ name, kind: name, baseUrl, keys, models, embeddings: byKind, headers, timeouts: {} }];
  });
  const embeddingsKey = values.sourcegraphEmbeddingsToken;
  if (embeddingsKey !== undefined) {
    upstreams.push({
      name: "sourcegraph",
      kind: "kserve-embeddings",
      baseUrl: values.sourcegraphEmbeddingsUrl,
      keys: [{ name: settings.sourcegraphEmbeddingsToken.name, value: embeddingsKey, weight: 1 }],
      models: undefined,
      embeddings: byKind,
      headers: {},
      timeouts: {},
    });
  }
  return upstreams;
}

const byKind: EmbeddingsConfig = { models: undefined, inputsPerCall: undefined, tokensPerCall: undefined };

/**
 * An upstream of the file takes the place of the environment's with the same name. `embeddingsModels` is the environment's
 * list of models for embeddings, with their upstreams: for all that have no list of their own.
 */
export function mergeUpstreams(
  environment: readonly UpstreamConfig[],
  file: readonly UpstreamConfig[],
  embeddingsModels: readonly string[] | undefined,
): { readonly upstreams: readonly UpstreamConfig[]; readonly notices: readonly string[] } {
  const replaced = environment.filter(({ name }) => file.some((each) => each.name === name));
  return {
    upstreams: [...environment.filter((each) => !replaced.includes(each)), ...file].map((upstream) => {
      const models = upstream.embeddings.models ?? (embeddingsModels && entriesOf(embeddingsModels, upstream.name));
      return { ...upstream, embeddings: { ...upstream.embeddings, models } };
    }),
    notices: replaced.map(({ name }) => `provider ${name}: taken from the file, its variables have no effect`),
  };
}

/** What a list in gateway names (`openai/…`, `*`) has of one upstream, in the upstream's own names. */
function entriesOf(list: readonly string[], upstream: string): readonly string[] {
  return list.flatMap((entry) => (entry === "*" ? [entry] : (withoutPrefix(entry, upstream) ?? [])));
}
