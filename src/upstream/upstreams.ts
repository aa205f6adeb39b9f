import { Pool } from "undici";
import { UpstreamError } from "../errors.js";
import type { Api } from "../providers/provider.js";
import { openExchange } from "./exchange.js";
import { createModelLists } from "./model-lists.js";
import type { Exchange, UpstreamRequest, Upstreams, UpstreamTarget } from "./upstream.js";
import { createWatch } from "./watch.js";

/** Most connections to one upstream: a stream occupies one for as long as it lasts. */
const maxConnections = 8192;

/** Sends requests to `targets`, each over a connection pool of its own. */
export function createUpstreams(
  parts: { targets: readonly UpstreamTarget[] },
  options: { readonly userAgent: string },
): Upstreams {
  const watch = createWatch();
  const connected = new Map(parts.targets.map((target) => [target.name, connect(target, options.userAgent)]));
  const find = (name: string): Connected => {
    const found = connected.get(name);
    if (!found) throw new Error(`no upstream named ${name}`);
    return found;
  };
  const lists = createModelLists((name) => {
    const { pool, target, basePath, headersFor } = find(name);
    return { pool, target, basePath, headers: headersFor(undefined, {}) };
  });

  return {
    provider: (upstream) => find(upstream).target.provider,
    listModels: lists.list,
    send(request, reply, onReached): Promise<Exchange> {
      const { pool, target, basePath, headersFor } = find(request.upstream);
      const { handler, done } = openExchange(target, request, reply, watch, onReached);
      try {
        pool.dispatch(
          {
            method: "POST",
            path: basePath + request.path,
            headers: headersFor(request.api, request.headers),
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
    async close() {
      await Promise.all([...connected.values()].map(({ pool }) => pool.destroy()));
    },
  };
}

interface Connected {
  readonly target: UpstreamTarget;
  readonly pool: Pool;
  /** Path of the base URL, without a slash at its end. */
  readonly basePath: string;
  headersFor(api: Api | undefined, caller: UpstreamRequest["headers"]): string[];
}

function connect(target: UpstreamTarget, userAgent: string): Connected {
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
  const nextKey = keyRotation(target.keys);
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
    basePath: url.pathname.replace(/\/+$/, ""),
    headersFor(api, caller) {
      const headers = fixedFor(api).slice();
      for (const name of api?.passHeaders ?? []) {
        const value = caller[name] ?? api?.headers[name];
        if (typeof value === "string" && target.headers[name] === undefined) headers.push(name, value);
      }
      const key = target.provider.authHeaders(nextKey());
      for (const name of Object.keys(key)) headers.push(name, key[name] as string);
      return headers;
    },
  };
}

/** Gives the keys in turn, each as often as its weight says. */
function keyRotation(keys: UpstreamTarget["keys"]): () => string | undefined {
  if (keys.length < 2) return () => keys[0]?.value;
  // Smooth weighted round robin, as nginx does it: spreads a heavy key's turns instead of bunching them.
  const turns = keys.map((key) => ({ ...key, current: 0 }));
  const total = keys.reduce((sum, key) => sum + key.weight, 0);
  return () => {
    let best = turns[0] as (typeof turns)[number];
    for (const turn of turns) {
      turn.current += turn.weight;
      if (turn.current > best.current) best = turn;
    }
    best.current -= total;
    return best.value;
  };
}
