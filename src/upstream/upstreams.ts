import { UpstreamError } from "../errors.js";
import { Pool } from "../lib/undici.js";
import type { Api } from "../providers/provider.js";
import { openExchange } from "./exchange.js";
import { createHealth, type Health, type UpstreamObserver } from "./health.js";
import type { UpstreamKey } from "./keys.js";
import { createModelLists } from "./model-lists.js";
import type { Exchange, UpstreamRequest, Upstreams, UpstreamTarget } from "./upstream.js";
import { createWatch } from "./watch.js";

/** Most connections to one upstream: a stream occupies one for as long as it lasts. */
const maxConnections = 16_384;

/** Sends requests to `targets`, each over a connection pool of its own. */
export function createUpstreams(
  parts: { readonly targets: readonly UpstreamTarget[]; readonly observer: UpstreamObserver },
  options: { readonly userAgent: string },
): Upstreams {
  const watch = createWatch();
  const connected = new Map(
    parts.targets.map((target) => [target.name, connect(target, parts.observer, options.userAgent)]),
  );
  const find = (name: string): Connected => {
    const found = connected.get(name);
    if (!found) throw new Error(`no upstream named ${name}`);
    return found;
  };
  const lists = createModelLists((name) => {
    const { pool, target, basePath, health, headersFor } = find(name);
    return { pool, target, basePath, headers: headersFor(undefined, {}, health.keys.take("")) };
  });
  const counted = (count: (health: Health) => number): [string, number][] =>
    [...connected].map(([name, { health }]) => [name, count(health)]);

  return {
    provider: (upstream) => find(upstream).target.provider,
    listModels: lists.list,
    send(request, reply, onReached): Promise<Exchange> {
      const { pool, target, health, basePath, headersFor } = find(request.upstream);
      const refusal = health.admit(request);
      if (refusal) return Promise.resolve(notTried(request, refusal, health));
      const key = health.keys.take(request.model);
      const { handler, done } = openExchange({ target, health, key, watch }, request, reply, onReached);
      try {
        pool.dispatch(
          {
            method: "POST",
            path: basePath + request.path,
            headers: headersFor(request.api, request.headers, key),
            body: request.body,
          },
          handler,
        );
      } catch (cause) {
        const details = { upstream: target.name, cause };
        handler.onResponseError?.(
          undefined as never,
          new UpstreamError("UPSTREAM_UNAVAILABLE", "request could not be sent", details),
        );
      }
      return done;
    },
    repeat: (upstream) => find(upstream).health.repeat(),
    setKeys: (upstream, keys) => find(upstream).health.keys.replace(keys),
    unavailableModels: () => counted((health) => health.unavailable()),
    restingKeys: () => counted(({ keys }) => keys.resting()),
    async close() {
      await Promise.all([...connected.values()].map(({ pool }) => pool.destroy()));
    },
  };
}

function notTried(request: UpstreamRequest, error: UpstreamError, health: Health): Exchange {
  health.tried("not_made");
  const again = request.hasOthers ? "elsewhere" : undefined;
  const nothing = { usage: {}, status: undefined, upstreamMs: 0, firstByteMs: undefined };
  return { ...nothing, kind: "failed", error, started: false, again, tried: false };
}

interface Connected {
  readonly target: UpstreamTarget;
  readonly pool: Pool;
  readonly health: Health;
  /** Path of the base URL, without a slash at its end. */
  readonly basePath: string;
  headersFor(api: Api | undefined, caller: UpstreamRequest["headers"], key: UpstreamKey | undefined): string[];
}

function connect(target: UpstreamTarget, observer: UpstreamObserver, userAgent: string): Connected {
  const url = new URL(target.baseUrl);
  const pool = new Pool(url.origin, {
    connections: maxConnections,
    pipelining: 1,
    // Time limits are the exchange's own: undici's would cut long reasoning at five minutes.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 10_000,
    maxHeaderSize: 16 * 1024,
    connect: { timeout: target.timeouts.connectMs },
  });
  const { keys, provider } = target;
  const health = createHealth({ name: target.name, keys, defaultRestSeconds: provider.retryAfterSeconds, observer });
  // Identity, so that usage can be read as the answer passes.
  const common = { "user-agent": userAgent, "accept-encoding": "identity", "content-type": "application/json" };
  // What is the same for every request of an API, laid out once: names and values in turn, as undici takes them.
  const fixed = new Map<Api | undefined, string[]>();
  const fixedFor = (api: Api | undefined): string[] => {
    const known = fixed.get(api);
    if (known) return known;
    const passed = api?.passHeaders ?? [];
    const headers = Object.entries({ ...common, ...api?.headers, ...target.headers });
    const laidOut = headers.filter(([name]) => !passed.includes(name) || target.headers[name]).flat();
    fixed.set(api, laidOut);
    return laidOut;
  };
  return {
    target,
    pool,
    health,
    basePath: url.pathname.replace(/\/+$/, ""),
    headersFor(api, caller, key) {
      const headers = fixedFor(api).slice();
      for (const name of api?.passHeaders ?? []) {
        const value = caller[name] ?? api?.headers[name];
        if (typeof value === "string" && target.headers[name] === undefined) headers.push(name, value);
      }
      const auth = provider.authHeaders(key?.value);
      for (const header of Object.keys(auth)) headers.push(header, auth[header] as string);
      return headers;
    },
  };
}
