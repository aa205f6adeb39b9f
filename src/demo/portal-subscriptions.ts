// The part of the demo's Enterprise Portal that tells of subscriptions themselves and of their licenses.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  type EnterpriseSubscription,
  EnterpriseSubscriptionInstanceType,
  type EnterpriseSubscriptionLicense,
  EnterpriseSubscriptionLicenseSchema,
  EnterpriseSubscriptionSchema,
  type GetEnterpriseSubscriptionRequest,
  type ListEnterpriseSubscriptionLicensesRequest,
  type ListEnterpriseSubscriptionsRequest,
  EnterpriseSubscriptionLicenseCondition_Status as Status,
  type SubscriptionsService,
} from "../../gen/enterpriseportal/subscriptions/v1/subscriptions_pb.js";
import { type CutPage, listingOf } from "./portal-pages.js";
import type { DemoLicense, DemoSubscription } from "./subscriptions.js";

/** What it can be asked. */
export type SubscriptionsRequest =
  | GetEnterpriseSubscriptionRequest
  | ListEnterpriseSubscriptionsRequest
  | ListEnterpriseSubscriptionLicensesRequest;

export interface SubscriptionsParts {
  /** By the portal's ids, in the order of listings. */
  readonly subscriptions: ReadonlyMap<string, DemoSubscription>;
  /** Throws where the call may not be made. */
  admit(
    method: "GetSubscription" | "ListSubscriptions" | "ListLicenses",
    request: SubscriptionsRequest,
    context: HandlerContext,
  ): void;
  /** Cuts listings into pages. */
  readonly page: CutPage;
}

const types = {
  primary: EnterpriseSubscriptionInstanceType.PRIMARY,
  secondary: EnterpriseSubscriptionInstanceType.SECONDARY,
  internal: EnterpriseSubscriptionInstanceType.INTERNAL,
} as const;

/** A license as most have it: of a plan, for as long as anybody looks. */
const usual: DemoLicense = { tags: ["plan:enterprise-1"] };

export function subscriptionsOfPortal(parts: SubscriptionsParts): Partial<ServiceImpl<typeof SubscriptionsService>> {
  const { subscriptions, admit, page } = parts;
  return {
    getEnterpriseSubscription(req, context) {
      admit("GetSubscription", req, context);
      const { query } = req;
      const found = query.case === "id" ? subscriptions.get(query.value) : undefined;
      if (!found) throw new ConnectError("subscription not found", Code.NotFound);
      return { subscription: toSubscription(found) };
    },
    listEnterpriseSubscriptions(req, context) {
      admit("ListSubscriptions", req, context);
      const { entries, nextPageToken } = page(
        listingOf(subscriptions.values(), ({ id }) => `es_${id}`),
        req,
      );
      return { subscriptions: entries.map(toSubscription), nextPageToken };
    },
    listEnterpriseSubscriptionLicenses(req, context) {
      admit("ListLicenses", req, context);
      const all = [...subscriptions.values()].flatMap(licensesOf).filter((license) => matches(license, req));
      const { entries, nextPageToken } = page(
        listingOf(all, ({ id }) => id),
        req,
      );
      return { licenses: entries, nextPageToken };
    },
  };
}

function toSubscription({ id, name, instanceType = "primary" }: DemoSubscription): EnterpriseSubscription {
  return create(EnterpriseSubscriptionSchema, {
    id: `es_${id}`,
    displayName: name ?? "",
    instanceType: types[instanceType],
  });
}

function licensesOf({ id, licenses = [usual] }: DemoSubscription): EnterpriseSubscriptionLicense[] {
  return licenses.map(({ tags, createdAt, expiresAt, revokedAt }, index) => {
    const conditions: MessageInitShape<typeof EnterpriseSubscriptionLicenseSchema>["conditions"] = [
      { status: Status.CREATED, ...(createdAt && { lastTransitionTime: timestampFromDate(createdAt) }) },
      ...(revokedAt ? [{ status: Status.REVOKED, lastTransitionTime: timestampFromDate(revokedAt) }] : []),
    ];
    const info = { tags: [...tags], ...(expiresAt && { expireTime: timestampFromDate(expiresAt) }) };
    return create(EnterpriseSubscriptionLicenseSchema, {
      id: `esl_${id}-${index}`,
      subscriptionId: `es_${id}`,
      conditions,
      license: { case: "key", value: { infoVersion: 3, info } },
    });
  });
}

function matches(license: EnterpriseSubscriptionLicense, req: ListEnterpriseSubscriptionLicensesRequest): boolean {
  return req.filters.every(({ filter }) => {
    if (filter.case === "subscriptionId") return license.subscriptionId === filter.value;
    if (filter.case === "isRevoked")
      return license.conditions.some(({ status }) => status === Status.REVOKED) === filter.value;
    return true;
  });
}
