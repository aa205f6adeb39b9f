import type { Pool } from "undici";
import type { UpstreamTarget } from "./upstream.js";

/** How long a list is believed. */
const freshMs = 10 * 60_000;
/** How long a failure is believed, and no list asked for again. */
const retryMs = 30_000;
const timeoutMs = 3_000;
const maxBytes = 4 * 1024 * 1024;

interface Asked {
  readonly pool: Pool;
  readonly target: UpstreamTarget;
  readonly basePath: string;
  readonly headers: string[];
}

/** Which models the upstreams say they have: asked when needed, one request at a time for each, remembered. */
export interface ModelLists {
  /** Never rejects: an upstream that does not answer has what it last listed, or nothing. */
  list(upstream: string): Promise<readonly string[]>;
}

export function createModelLists(find: (upstream: string) => Asked): ModelLists {
  const known = new Map<string, { models: readonly string[]; until: number }>();
  const asking = new Map<string, Promise<readonly string[]>>();

  const ask = async (upstream: string): Promise<readonly string[]> => {
    const last = known.get(upstream)?.models ?? [];
    try {
      const models = await fetchList(find(upstream));
      known.set(upstream, { models, until: performance.now() + freshMs });
      return models;
    } catch {
      known.set(upstream, { models: last, until: performance.now() + retryMs });
      return last;
    }
  };

  return {
    async list(upstream) {
      const entry = known.get(upstream);
      if (entry && performance.now() < entry.until) return entry.models;
      let answer = asking.get(upstream);
      if (!answer) {
        answer = ask(upstream).finally(() => asking.delete(upstream));
        asking.set(upstream, answer);
      }
      return answer;
    },
  };
}

async function fetchList({ pool, target, basePath, headers }: Asked): Promise<readonly string[]> {
  const list = target.provider.modelList;
  if (!list) return [];
  const { statusCode, body } = await pool.request({
    method: "GET",
    path: basePath + list.path,
    headers: [...headers, ...Object.entries(list.headers).flat()],
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) throw new Error("model list is too large");
    chunks.push(chunk as Buffer);
  }
  if (statusCode !== 200) throw new Error("upstream did not list its models");
  return list.read(JSON.parse(Buffer.concat(chunks).toString("utf8")));
}
