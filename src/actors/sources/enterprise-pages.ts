// Listings of the Enterprise Portal, page by page until they end.

import { type PortalPage, trouble } from "./enterprise-client.js";

/** A listing of more pages does not end. */
const maxPages = 100_000;

/** One page; undefined where the portal cannot page. */
export type ListPage = (
  page: { readonly size: number; readonly token: string },
  signal: AbortSignal,
) => Promise<PortalPage | undefined>;

/** All pages of a listing; `whole`: this one is all of it. Throws `SourceError` when it does not end, or cannot be had. */
export async function* portalPages(
  list: ListPage,
  pageSize: number,
  signal: AbortSignal,
): AsyncGenerator<Pick<PortalPage, "entries"> & { readonly whole: boolean }> {
  const seen = new Set<string>();
  for (let token = "", count = 0; count < maxPages; count++) {
    let page = await list({ size: pageSize, token }, signal);
    // Portals of today cannot page; all at once is then the only way.
    const whole = page === undefined && count === 0;
    if (whole) page = await list({ size: 0, token: "" }, signal);
    if (!page) throw trouble("cannot list its subscriptions (unimplemented)");
    yield { entries: page.entries, whole: whole && page.nextPageToken === undefined };
    if (page.nextPageToken === undefined) return;
    if (seen.has(page.nextPageToken)) break;
    seen.add(page.nextPageToken);
    token = page.nextPageToken;
  }
  throw trouble("answered with a listing that does not end");
}
