// The upstreams of the composition: which there are, what is told of them, and how their keys change.

import { type Config, ConfigError, type UpstreamConfig } from "./config.js";
import type { Log } from "./lib/log.js";
import type { CallLimits } from "./providers/embeddings.js";
import { providers } from "./providers/index.js";
import type { Provider } from "./providers/provider.js";
import type { Metrics } from "./telemetry/metrics.js";
import type { UpstreamObserver } from "./upstream/health.js";
import type { Upstreams, UpstreamTarget } from "./upstream/upstream.js";

/** An upstream that can be served, with what its configuration says of its models. */
export type Target = UpstreamTarget & Pick<UpstreamConfig, "models" | "embeddings">;

/** The kinds of providers that come with the gateway. */
export const upstreamKinds: readonly string[] = providers.map(({ kind }) => kind);

/** `known`: what the upstreams' kinds may be. Throws `ConfigError` for one of another kind. */
export function upstreamTargets(config: Config, known: readonly Provider[]): Target[] {
  return config.upstreams.map((upstream) => {
    const provider = known.find(({ kind }) => kind === upstream.kind);
    if (!provider) {
      const kinds = known.map(({ kind }) => kind).join(", ");
      const message = `expected one of the kinds ${kinds}: ${upstream.name} is of the kind ${upstream.kind}`;
      throw new ConfigError([{ source: "providers", message }]);
    }
    return { ...upstream, provider, timeouts: { ...config.upstreamTimeouts, ...upstream.timeouts } };
  });
}

/** What an upstream takes in one call, where its configuration says so. */
export function callLimits(targets: readonly Target[]): (upstream: string) => Partial<CallLimits> {
  const limits = targets.map(({ name, embeddings }): [string, Partial<CallLimits>] => {
    const { inputsPerCall: inputs, tokensPerCall: tokens } = embeddings;
    return [name, { ...(inputs !== undefined && { inputs }), ...(tokens !== undefined && { tokens }) }];
  });
  const byName = new Map(limits);
  return (upstream) => byName.get(upstream) ?? {};
}

/** Tells log and metrics of what happens at upstreams. */
export function upstreamObserver({ log, metrics }: { readonly log: Log; readonly metrics: Metrics }): UpstreamObserver {
  return {
    tried: metrics.upstreamTried,
    keyRefused({ restMs, ...told }) {
      metrics.upstreamKeyRefused(told.upstream);
      // Once for each rest: a gateway whose only key is wrong would say it for each request.
      if (restMs !== undefined) log.error({ ...told, restMs }, "upstream refused a key, which is left out for a while");
    },
    modelChanged(upstream, model, open) {
      if (open) log.warn({ upstream, model }, "upstream fails for a model, which is unavailable for now");
      else log.info({ upstream, model }, "model is available again");
    },
  };
}

/** Gives those of `targets` that are still configured their keys; the names of those that have others now. */
export function replaceKeys(
  upstreams: Pick<Upstreams, "setKeys">,
  targets: readonly UpstreamTarget[],
  configured: readonly UpstreamConfig[],
): readonly string[] {
  return configured
    .filter(({ name }) => targets.some((target) => target.name === name))
    .filter(({ name, keys }) => upstreams.setKeys(name, keys))
    .map(({ name }) => name);
}
