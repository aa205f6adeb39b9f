// Listings of the Enterprise Portal, page by page until they end.

import type { PageQuery, PortalPage, PortalPart } from "./enterprise-client.js";
import { trouble } from "./enterprise-errors.js";

/** A listing of more pages does not end. */
const maxPages = 100_000;

/** One page; undefined where the portal cannot page. */
export type ListPage = (page: PageQuery, signal: AbortSignal) => PortalPage;

/**
 * All entries of a listing, part by part as they come; the next page is asked for while this one is taken over. Throws
 * `SourceError` when it does not end, or cannot be had.
 */
export async function* portalPages(
  list: ListPage,
  pageSize: number,
  signal: AbortSignal,
): AsyncGenerator<PortalPart["entries"]> {
  const stop = new AbortController();
  try {
    yield* allPages(list, pageSize, AbortSignal.any([signal, stop.signal]));
  } finally {
    // What was asked for ahead is not waited for.
    stop.abort();
  }
}

async function* allPages(list: ListPage, size: number, signal: AbortSignal): AsyncGenerator<PortalPart["entries"]> {
  const seen = new Set<string>();
  // Portals of today cannot page; all at once is then the only way.
  let page = (await list({ size, token: "" }, signal)) ?? (await list({ size: 0, token: "" }, signal));
  for (let count = 0; count < maxPages; count++) {
    if (!page) throw trouble("cannot list its subscriptions (unimplemented)");
    let next: PortalPage | undefined;
    for await (const { entries, nextPageToken: token } of page) {
      if (token !== undefined) {
        if (seen.has(token)) throw endless();
        seen.add(token);
        next = list({ size, token }, signal);
        // It is waited for later.
        next.catch(() => {});
      }
      yield entries;
    }
    if (next === undefined) return;
    page = await next;
  }
  throw endless();
}

function endless(): Error {
  return trouble("answered with a listing that does not end");
}
