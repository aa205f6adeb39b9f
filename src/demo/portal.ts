// An Enterprise Portal for the demo and the tests: Connect, gRPC and gRPC-Web on the portal's own interface.

import { clone, create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  CodyAccessService,
  type CodyGatewayAccess,
  CodyGatewayAccessSchema,
  type GetCodyGatewayAccessRequest,
  type GetCodyGatewayAccessResponse,
  GetCodyGatewayAccessResponseSchema,
  type ListCodyGatewayAccessesRequest,
  type ListCodyGatewayAccessesResponse,
  ListCodyGatewayAccessesResponseSchema,
} from "../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import { SubscriptionsService } from "../../gen/enterpriseportal/subscriptions/v1/subscriptions_pb.js";
import { createBackEnd, type DemoBackEnd, type DemoBackEndOptions } from "./back-end.js";
import { type CallLog, createCallLog } from "./call-log.js";
import { many, type OneOrMany } from "./many.js";
import { createPages, type Listing, listingOf } from "./portal-pages.js";
import { type SubscriptionsParts, type SubscriptionsRequest, subscriptionsOfPortal } from "./portal-subscriptions.js";
import { type Access, accessOf, type DemoSubscription } from "./subscriptions.js";

/** One call of the portal. */
export interface PortalCall {
  readonly method: "Get" | "List" | "GetSubscription" | "ListSubscriptions" | "ListLicenses";
  readonly request: GetCodyGatewayAccessRequest | ListCodyGatewayAccessesRequest | SubscriptionsRequest;
  /** `grpc`, `connect` or `grpc-web`. */
  readonly protocol: string;
  /** As it was sent. */
  readonly authorization: string | undefined;
  readonly userAgent: string | undefined;
}

export interface DemoPortalOptions extends DemoBackEndOptions {
  /** Scopes of a SAMS token; undefined: it is none, or no more. Default: every caller may read, without a token too. */
  readonly scopesOf?: (token: string) => readonly string[] | undefined;
  /** Whether listings can be had in pages. Portals of today refuse: the default. */
  readonly pages?: boolean;
  /** Most entries of a page, whatever is asked for. Default 1,000. */
  readonly maxPageSize?: number;
}

/** An Enterprise Portal, with the access of subscriptions as it stands now. */
export interface DemoPortal extends DemoBackEnd, Omit<CallLog<PortalCall>, "add"> {
  /** In the order of the listing, by the portal's ids. */
  readonly accesses: ReadonlyMap<string, CodyGatewayAccess>;
  /** Adds subscriptions, or puts them in place of those with the same id. */
  set(subscriptions: OneOrMany<DemoSubscription>): void;
  /** The same with whatever is in the message. */
  setAccess(accesses: OneOrMany<Access>): void;
  /** Removes the subscription of this UUID. */
  remove(id: string): void;
  /** Changes each answer of a listing before it is sent; undefined: no more. */
  distort(change: ((page: ListCodyGatewayAccessesResponse) => void) | undefined): void;
  /** Calls fail with this, once the caller is known; undefined: no more. */
  failWith(error: ConnectError | undefined): void;
}

const accessScope = "enterprise_portal::codyaccess::read";
const subscriptionScope = "enterprise_portal::subscription::read";

/** Creates a portal without subscriptions; `listen` starts it. */
export function createDemoPortal(options: DemoPortalOptions = {}): DemoPortal {
  const { scopesOf = () => [accessScope, subscriptionScope], pages = false, maxPageSize = 1_000 } = options;
  const accesses = new Map<string, CodyGatewayAccess>();
  const subscriptions = new Map<string, DemoSubscription>();
  const log = createCallLog<PortalCall>();
  let distortion: ((page: ListCodyGatewayAccessesResponse) => void) | undefined;
  let failure: ConnectError | undefined;
  /** What pages are cut from, until something changes. */
  let listing: Listing<CodyGatewayAccess> | undefined;
  const page = createPages({ pages, maxPageSize });

  function admit(
    method: PortalCall["method"],
    request: PortalCall["request"],
    context: HandlerContext,
    scope = accessScope,
  ): void {
    const authorization = context.requestHeader.get("authorization") ?? undefined;
    const userAgent = context.requestHeader.get("user-agent") ?? undefined;
    log.add({ method, request, protocol: context.protocolName, authorization, userAgent });
    const scopes = scopesOf(authorization?.replace(/^bearer /i, "") ?? "");
    if (!scopes) throw new ConnectError("invalid token", Code.Unauthenticated);
    if (!scopes.includes(scope)) throw new ConnectError("insufficient scope", Code.PermissionDenied);
    if (failure) throw failure;
  }

  function get(
    request: GetCodyGatewayAccessRequest,
    context: HandlerContext,
  ): GetCodyGatewayAccessResponse | Promise<never> {
    admit("Get", request, context);
    const { case: by, value = "" } = request.query;
    if (value === "") throw new ConnectError("invalid query: no access token or subscription ID", Code.InvalidArgument);
    const access = by === "subscriptionId" ? accesses.get(value) : holderOf(accesses.values(), value);
    if (!access) throw new ConnectError("subscription not found", Code.NotFound);
    return create(GetCodyGatewayAccessResponseSchema, { access });
  }

  function list(request: ListCodyGatewayAccessesRequest, context: HandlerContext): ListCodyGatewayAccessesResponse {
    admit("List", request, context);
    const { entries, nextPageToken } = page(
      (listing ??= listingOf(accesses.values(), ({ subscriptionId }) => subscriptionId)),
      request,
    );
    const answer = create(ListCodyGatewayAccessesResponseSchema, { accesses: entries, nextPageToken });
    if (!distortion) return answer;
    const distorted = clone(ListCodyGatewayAccessesResponseSchema, answer);
    distortion(distorted);
    return distorted;
  }

  const admitToSubscriptions: SubscriptionsParts["admit"] = (method, request, context) =>
    admit(method, request, context, subscriptionScope);

  const adapter = connectNodeAdapter({
    routes: (router: ConnectRouter) =>
      router
        .service(CodyAccessService, { getCodyGatewayAccess: get, listCodyGatewayAccesses: list })
        .service(SubscriptionsService, subscriptionsOfPortal({ subscriptions, page, admit: admitToSubscriptions })),
  });
  const backEnd = createBackEnd((req, res) => adapter(req, res), options);

  return {
    ...backEnd,
    // Getters of the parts would be copied as they stand now.
    get url() {
      return backEnd.url;
    },
    get calls() {
      return log.calls;
    },
    waitFor: log.waitFor,
    clear: log.clear,
    accesses,
    set(given) {
      for (const each of many(given)) subscriptions.set(`es_${each.id}`, each);
      setAccess(many(given).map(accessOf));
    },
    setAccess,
    remove(id) {
      listing = undefined;
      accesses.delete(`es_${id}`);
      subscriptions.delete(`es_${id}`);
    },
    distort: (change) => {
      distortion = change;
    },
    failWith: (error) => {
      failure = error;
    },
  };

  function setAccess(given: OneOrMany<Access>): void {
    listing = undefined;
    for (const each of many(given)) accesses.set(each.subscriptionId ?? "", create(CodyGatewayAccessSchema, each));
  }
}

function holderOf(accesses: Iterable<CodyGatewayAccess>, token: string): CodyGatewayAccess | undefined {
  for (const access of accesses) if (access.accessTokens.some((each) => each.token === token)) return access;
  return undefined;
}
