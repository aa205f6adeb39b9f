// The paths of APIs. Names come from callers: here and nowhere else do they become part of a URL.

import type { Api, ApiPath } from "./provider.js";

const modelPlace = "{model}";

/** Path and query below the upstream's base URL. Whatever the name is, it stays within its segment, encoded. */
export function upstreamPath({ path, query }: ApiPath, model: string): string {
  const filled = path.includes(modelPlace) ? path.replace(modelPlace, () => encodeURIComponent(model)) : path;
  return query === undefined ? filled : `${filled}?${query}`;
}

/** Where a request of this kind goes when its caller's path does not say. */
export function pathFor(api: Api, stream: boolean): ApiPath {
  return api.paths.find((path) => path.stream === undefined || path.stream === stream) ?? api.paths[0];
}
