// Listings of the demo's Enterprise Portal, and the pages they are cut into.

import { Code, ConnectError } from "@connectrpc/connect";

/** All in order, and where each begins. */
export interface Listing<T> {
  readonly all: readonly T[];
  readonly places: ReadonlyMap<string, number>;
  readonly idOf: (entry: T) => string;
}

export interface AskedPage {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** One page; the token of the next is the id of its first entry. */
export type CutPage = <T>(
  listing: Listing<T>,
  asked: AskedPage,
) => { readonly entries: T[]; readonly nextPageToken: string };

export function listingOf<T>(entries: Iterable<T>, idOf: (entry: T) => string): Listing<T> {
  const all = [...entries];
  return { all, places: new Map(all.map((entry, at) => [idOf(entry), at])), idOf };
}

/** Without `pages`, whoever asks for less than all is refused. */
export function createPages({ pages, maxPageSize }: { pages: boolean; maxPageSize: number }): CutPage {
  return ({ all, places, idOf }, { pageSize, pageToken }) => {
    if (!pages) {
      if (pageSize !== 0 || pageToken !== "") throw new ConnectError("pagination not implemented", Code.Unimplemented);
      return { entries: [...all], nextPageToken: "" };
    }
    const size = Math.min(pageSize > 0 ? pageSize : maxPageSize, maxPageSize);
    const start = pageToken === "" ? 0 : places.get(pageToken);
    if (start === undefined) throw new ConnectError("invalid page token", Code.InvalidArgument);
    const next = all[start + size];
    return { entries: all.slice(start, start + size), nextPageToken: next === undefined ? "" : idOf(next) };
  };
}
