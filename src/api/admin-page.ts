// Pages of long lists, as https://google.aip.dev/158 has them: cut by the key of the last item, so that what comes and goes
// between two pages neither repeats nor hides others.

import { createHash } from "node:crypto";
import { InvalidRequestError } from "../errors.js";

/** What a list is ordered by; unique for each item. */
export type Key = readonly (string | number)[];

export interface PageRequest {
  /** 0 is 100. */
  readonly pageSize: number;
  readonly pageToken: string;
  /** Everything else of the request that decides which items there are and in which order. */
  readonly query: unknown;
}

export interface ListOrder<T> {
  readonly keyOf: (item: T) => Key;
  readonly descending?: boolean;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty: there is no further page. */
  readonly nextPageToken: string;
}

const defaultSize = 100;
/** Items that are looked at in one turn of the event loop. */
const slice = 2_000;

/** The first items after those of the page before, in order. Throws `InvalidRequestError` for a token of another list. */
export async function pageOf<T>(all: Iterable<T>, order: ListOrder<T>, request: PageRequest): Promise<Page<T>> {
  const { items, more, tokenAfter } = await itemsAfter(all, order, request, sizeOf(request));
  const last = items.at(-1);
  return { items, nextPageToken: more && last !== undefined ? tokenAfter(last) : "" };
}

/** As `pageOf`, where telling which items belong to the list takes I/O: looks at `maxChecked` of them at most. */
export async function pageOfMatching<T>(
  all: Iterable<T>,
  order: ListOrder<T>,
  request: PageRequest,
  matching: (items: readonly T[]) => Promise<readonly T[]>,
  maxChecked: number,
): Promise<Page<T>> {
  const size = sizeOf(request);
  const { items, more, tokenAfter } = await itemsAfter(all, order, request, maxChecked);
  const found: T[] = [];
  for (let at = 0; at < items.length; at += defaultSize) {
    const checked = items.slice(at, at + defaultSize);
    found.push(...(await matching(checked)));
    if (found.length > size) return { items: found.slice(0, size), nextPageToken: tokenAfter(found[size - 1] as T) };
  }
  const last = items.at(-1);
  return { items: found, nextPageToken: more && last !== undefined ? tokenAfter(last) : "" };
}

function sizeOf({ pageSize }: PageRequest): number {
  return pageSize === 0 ? defaultSize : pageSize;
}

async function itemsAfter<T>(all: Iterable<T>, order: ListOrder<T>, request: PageRequest, count: number) {
  const { keyOf, descending = false } = order;
  const compare = (a: Key, b: Key): number => (descending ? compareKeys(b, a) : compareKeys(a, b));
  const list = createHash("sha256").update(JSON.stringify(request.query)).digest("base64url").slice(0, 12);
  const after = request.pageToken === "" ? undefined : readToken(request.pageToken, list);
  const items = await smallest(all, keyOf, compare, count + 1, after);
  const tokenAfter = (item: T): string => Buffer.from(JSON.stringify([list, ...keyOf(item)])).toString("base64url");
  return { items: items.slice(0, count), more: items.length > count, tokenAfter };
}

/** The first `count` items after `after`, without ever sorting them all. */
async function smallest<T>(
  all: Iterable<T>,
  keyOf: (item: T) => Key,
  compare: (a: Key, b: Key) => number,
  count: number,
  after: Key | undefined,
): Promise<readonly T[]> {
  let kept: { readonly key: Key; readonly item: T }[] = [];
  const cut = (): void => {
    kept = kept.toSorted((a, b) => compare(a.key, b.key)).slice(0, count);
  };
  let looked = 0;
  let bound: Key | undefined;
  for (const item of all) {
    if (++looked % slice === 0) await new Promise((resolve) => setImmediate(resolve));
    const key = keyOf(item);
    if ((after && compare(key, after) <= 0) || (bound && compare(key, bound) >= 0)) continue;
    kept.push({ key, item });
    if (kept.length < 2 * count) continue;
    cut();
    bound = kept.at(-1)?.key;
  }
  cut();
  return kept.map(({ item }) => item);
}

function compareKeys(a: Key, b: Key): number {
  for (let at = 0; at < a.length; at++) {
    const [x, y] = [a[at] as string, b[at] as string];
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function readToken(token: string, list: string): Key {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    parsed = undefined;
  }
  if (Array.isArray(parsed) && parsed[0] === list) return parsed.slice(1) as Key;
  throw new InvalidRequestError(
    "expected the next_page_token of the same list, with the other fields as they were",
    "page_token",
  );
}
