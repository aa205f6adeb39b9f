// Calls of the Enterprise Portal, and what its answers mean.

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type Empty, EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  CodyAccessService,
  type CodyGatewayAccess,
  type GetCodyGatewayAccessRequest,
} from "../../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import {
  type EnterpriseSubscription,
  SubscriptionsService,
} from "../../../gen/enterpriseportal/subscriptions/v1/subscriptions_pb.js";
import type { TokenSource } from "../../lib/oauth.js";
import { call, type ListMethod, open } from "./enterprise-attempts.js";
import { plain, trouble } from "./enterprise-errors.js";
import { listFields } from "./enterprise-parts.js";
import { connectPortal, type PortalPlace } from "./enterprise-transport.js";

export interface PortalOptions extends PortalPlace {
  /** Time for one look-up. Default 5 s. */
  readonly lookupTimeoutMs?: number;
  /** Time for one page of the listing, or for all of it where the portal does not page, taking it over included. Default 5 min. */
  readonly listTimeoutMs?: number;
}

/** A part of a page of a listing. Entries are left as bytes: one that cannot be decoded does not take the others with it. */
export interface PortalPart {
  readonly entries: readonly Uint8Array[];
  /** Told in one part of the page, mostly the first; in none of the last page. */
  readonly nextPageToken: string | undefined;
}

/**
 * A page as it comes; it is complete when this ends. Undefined when the portal cannot do this. Whoever does not read all of it
 * aborts the signal.
 */
export type PortalPage = Promise<AsyncIterable<PortalPart> | undefined>;

/** Which page of a listing. */
export interface PageQuery {
  /** Most entries to return. */
  readonly size: number;
  /** `nextPageToken` of the page before; empty for the first. */
  readonly token: string;
}

/** The portal. All throw `SourceError`, or the signal's reason. */
export interface PortalClient {
  /** Undefined when there is no such subscription. */
  get(query: GetCodyGatewayAccessRequest["query"], signal: AbortSignal): Promise<CodyGatewayAccess | undefined>;
  /** Size 0 leaves it to the portal how much it returns. */
  list(page: PageQuery, signal: AbortSignal): PortalPage;
  /** Undefined when there is no such subscription. */
  subscription(id: string, signal: AbortSignal): Promise<EnterpriseSubscription | undefined>;
  /** As `list`: what the subscriptions themselves are. */
  subscriptions(page: PageQuery, signal: AbortSignal): PortalPage;
  /** As `list`: licenses that are not revoked, newest first, of one subscription or of all. */
  licenses(page: PageQuery, subscriptionId: string | undefined, signal: AbortSignal): PortalPage;
  close(): void;
}

const { getCodyGatewayAccess: getMethod, listCodyGatewayAccesses } = CodyAccessService.method;
const { getEnterpriseSubscription, listEnterpriseSubscriptions, listEnterpriseSubscriptionLicenses } =
  SubscriptionsService.method;
const inParts = { methodKind: "server_streaming", output: EmptySchema } as const;
/** Listings in parts, with everything in them left undecoded. */
const listMethods = {
  accesses: { ...listCodyGatewayAccesses, ...inParts },
  subscriptions: { ...listEnterpriseSubscriptions, ...inParts },
  licenses: { ...listEnterpriseSubscriptionLicenses, ...inParts },
};

/** Without `tokens`, calls carry no token. */
export function createPortalClient(
  parts: { readonly tokens?: TokenSource | undefined },
  options: PortalOptions,
): PortalClient {
  const { lookupTimeoutMs = 5_000, listTimeoutMs = 300_000 } = options;
  const { lookups, listings, close } = connectPortal(options, parts.tokens);
  const limits = { lookup: lookupTimeoutMs, list: listTimeoutMs };

  async function listing<Request extends DescMessage>(
    method: ListMethod<Request>,
    request: MessageInitShape<Request>,
    signal: AbortSignal,
  ): PortalPage {
    try {
      return readParts(await open(listings, method, request, { signal, timeoutMs: limits.list }), signal);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unimplemented) return undefined;
      throw plain(error, signal);
    }
  }

  /** What `read` takes of the answer; undefined where there is no such thing. */
  async function found<Request extends DescMessage, Answer extends DescMessage, T>(
    method: DescMethodUnary<Request, Answer>,
    request: MessageInitShape<Request>,
    signal: AbortSignal,
    read: (answer: MessageShape<Answer>) => T | undefined,
  ): Promise<T | undefined> {
    try {
      const answer = await call(lookups, method, request, { signal, timeoutMs: limits.lookup });
      const value = read(answer);
      if (value === undefined) throw trouble("answered without what was asked for");
      return value;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
      throw plain(error, signal);
    }
  }

  return {
    get: (query, signal) => found(getMethod, { query }, signal, ({ access }) => access),
    list: (page, signal) => listing(listMethods.accesses, toRequest(page), signal),
    subscription: (id, signal) =>
      found(
        getEnterpriseSubscription,
        { query: { case: "id", value: id } },
        signal,
        ({ subscription }) => subscription,
      ),
    subscriptions: (page, signal) => listing(listMethods.subscriptions, toRequest(page), signal),
    licenses(page, subscriptionId, signal) {
      const filters = [
        { filter: { case: "isRevoked" as const, value: false } },
        ...(subscriptionId === undefined
          ? []
          : [{ filter: { case: "subscriptionId" as const, value: subscriptionId } }]),
      ];
      return listing(listMethods.licenses, { ...toRequest(page), filters }, signal);
    },
    close,
  };
}

function toRequest({ size, token }: PageQuery): { pageSize: number; pageToken: string } {
  return { pageSize: size, pageToken: token };
}

async function* readParts(parts: AsyncIterable<Empty>, signal: AbortSignal): AsyncGenerator<PortalPart> {
  try {
    for await (const part of parts) yield readPart(part);
  } catch (error) {
    throw plain(error, signal);
  }
}

function readPart({ $unknown = [] }: Empty): PortalPart {
  const entries: Uint8Array[] = [];
  let nextPageToken: string | undefined;
  for (const { no, wireType, data } of $unknown) {
    if (no !== listFields.nextPageToken && no !== listFields.entries) continue;
    if (wireType !== WireType.LengthDelimited) throw trouble("answered with something that is no listing");
    const reader = new BinaryReader(data);
    if (no === listFields.entries) entries.push(reader.bytes());
    else nextPageToken = reader.string() || undefined;
  }
  return { entries, nextPageToken };
}
