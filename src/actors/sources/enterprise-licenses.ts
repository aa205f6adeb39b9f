// Which subscriptions a deployment for development admits: Sourcegraph's own, and those whose license says so.

import { fromBinary, type Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type EnterpriseSubscription,
  EnterpriseSubscriptionInstanceType,
  type EnterpriseSubscriptionLicense,
  EnterpriseSubscriptionLicenseCondition_Status,
  EnterpriseSubscriptionLicenseSchema,
  EnterpriseSubscriptionSchema,
} from "../../../gen/enterpriseportal/subscriptions/v1/subscriptions_pb.js";
import type { Clock } from "../../lib/clock.js";
import { merged } from "../../lib/merged.js";
import { createTurns } from "../../lib/turns.js";
import type { ListedPage } from "../source.js";
import type { PortalClient } from "./enterprise-client.js";
import { portalPages } from "./enterprise-pages.js";

/** Says of subscriptions, by the portal's ids, whether they are for development. All throw as the portal's calls do. */
export interface DevLicenses {
  /** Of one. Two calls, at once. */
  of(subscriptionId: string, signal: AbortSignal): Promise<boolean>;
  /** Of all, from two listings. Pages without entries say that it goes on. */
  ofAll(signal: AbortSignal): AsyncGenerator<ListedPage, (subscriptionId: string) => boolean>;
}

/** Tags of licenses for development. */
const devTags: ReadonlySet<string> = new Set(["dev", "internal"]);

export function createDevLicenses(
  parts: { readonly portal: Pick<PortalClient, "subscription" | "subscriptions" | "licenses">; readonly clock: Clock },
  options: { readonly pageSize: number },
): DevLicenses {
  const { portal, clock } = parts;

  async function* readAll<T extends Message>(
    schema: GenMessage<T>,
    pages: ReturnType<typeof portalPages>,
    signal: AbortSignal,
    take: (entry: T) => void,
  ): AsyncGenerator<ListedPage> {
    const turns = createTurns();
    for await (const entries of pages) {
      for (const bytes of entries) {
        const entry = decoded(schema, bytes);
        if (entry) take(entry);
        const turn = turns.next();
        if (turn) await turn;
      }
      signal.throwIfAborted();
      yield goesOn;
    }
  }

  /** Reads into `newest`, by subscription. */
  function readLicenses(subscriptionId: string | undefined, signal: AbortSignal, newest: Map<string, Newest>) {
    const pages = portalPages((page, until) => portal.licenses(page, subscriptionId, until), options.pageSize, signal);
    return readAll(EnterpriseSubscriptionLicenseSchema, pages, signal, (license) => {
      if (!isActive(license, clock.now())) return;
      const createdAt = createdAtOf(license);
      // Newest first, as listed, where it is not said when they were made.
      if (createdAt <= (newest.get(license.subscriptionId)?.createdAt ?? Number.NEGATIVE_INFINITY)) return;
      newest.set(license.subscriptionId, { createdAt, dev: isDev(license) });
    });
  }

  /** Reads into `found` those that are Sourcegraph's own. */
  function readInternals(signal: AbortSignal, found: Set<string>) {
    const pages = portalPages(portal.subscriptions, options.pageSize, signal);
    return readAll(EnterpriseSubscriptionSchema, pages, signal, (subscription) => {
      if (isInternal(subscription)) found.add(subscription.id);
    });
  }

  return {
    async of(id, signal) {
      const newest = new Map<string, Newest>();
      const reading = async (): Promise<void> => {
        for await (const _ of readLicenses(id, signal, newest)) continue;
      };
      const [subscription] = await Promise.all([portal.subscription(id, signal), reading()]);
      return isInternal(subscription) || newest.get(id)?.dev === true;
    },
    async *ofAll(signal) {
      const newest = new Map<string, Newest>();
      const internal = new Set<string>();
      yield* merged([readInternals(signal, internal), readLicenses(undefined, signal, newest)]);
      return (id) => internal.has(id) || newest.get(id)?.dev === true;
    },
  };
}

/** The newest license of a subscription that is active. */
interface Newest {
  readonly createdAt: number;
  readonly dev: boolean;
}

const goesOn: ListedPage = { entries: [] };

function isInternal(subscription: EnterpriseSubscription | undefined): boolean {
  return subscription?.instanceType === EnterpriseSubscriptionInstanceType.INTERNAL;
}

/** Undefined: it makes no sense, and admits nobody. */
function decoded<T extends Message>(schema: GenMessage<T>, bytes: Uint8Array): T | undefined {
  try {
    return fromBinary(schema, bytes);
  } catch {
    return undefined;
  }
}

function isActive({ conditions, license }: EnterpriseSubscriptionLicense, now: number): boolean {
  const { REVOKED } = EnterpriseSubscriptionLicenseCondition_Status;
  if (conditions.some(({ status }) => status === REVOKED)) return false;
  const expiresAt = license.case === "key" ? license.value.info?.expireTime : undefined;
  return expiresAt === undefined || timestampMs(expiresAt) > now;
}

function createdAtOf({ conditions }: EnterpriseSubscriptionLicense): number {
  const { CREATED } = EnterpriseSubscriptionLicenseCondition_Status;
  const at: Timestamp | undefined = conditions.find(({ status }) => status === CREATED)?.lastTransitionTime;
  return at ? timestampMs(at) : 0;
}

function isDev({ license }: EnterpriseSubscriptionLicense): boolean {
  const tags = license.case === "key" ? (license.value.info?.tags ?? []) : [];
  return tags.some((tag) => devTags.has(tag.trim().toLowerCase()));
}
