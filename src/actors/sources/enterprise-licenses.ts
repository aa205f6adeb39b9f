// Which subscriptions a deployment for development admits: Sourcegraph's own, and those whose license says so.

import { fromBinary, type Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  EnterpriseSubscriptionInstanceType,
  type EnterpriseSubscriptionLicense,
  EnterpriseSubscriptionLicenseCondition_Status,
  EnterpriseSubscriptionLicenseSchema,
  EnterpriseSubscriptionSchema,
} from "../../../gen/enterpriseportal/subscriptions/v1/subscriptions_pb.js";
import type { Clock } from "../../lib/clock.js";
import { createTurns } from "../../lib/turns.js";
import type { PortalClient } from "./enterprise-client.js";
import { portalPages } from "./enterprise-pages.js";

/** Says of subscriptions, by the portal's ids, whether they are for development. All throw as the portal's calls do. */
export interface DevLicenses {
  /** Of one. Two calls, at once. */
  of(subscriptionId: string, signal: AbortSignal): Promise<boolean>;
  /** Of all, from two listings. */
  ofAll(signal: AbortSignal): Promise<(subscriptionId: string) => boolean>;
}

/** Tags of licenses for development. */
const devTags: ReadonlySet<string> = new Set(["dev", "internal"]);

export function createDevLicenses(
  parts: { readonly portal: Pick<PortalClient, "subscription" | "subscriptions" | "licenses">; readonly clock: Clock },
  options: { readonly pageSize: number },
): DevLicenses {
  const { portal, clock } = parts;

  async function* each<T extends Message>(
    schema: GenMessage<T>,
    pages: ReturnType<typeof portalPages>,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    const turns = createTurns();
    for await (const entries of pages) {
      for (const bytes of entries) {
        const entry = decoded(schema, bytes);
        if (entry) yield entry;
        const turn = turns.next();
        if (turn) await turn;
      }
      signal.throwIfAborted();
    }
  }

  async function licensed(subscriptionId: string | undefined, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const newest = new Map<string, { readonly createdAt: number; readonly dev: boolean }>();
    const pages = portalPages((page, until) => portal.licenses(page, subscriptionId, until), options.pageSize, signal);
    for await (const license of each(EnterpriseSubscriptionLicenseSchema, pages, signal)) {
      if (!isActive(license, clock.now())) continue;
      const createdAt = createdAtOf(license);
      // Newest first, as listed, where it is not said when they were made.
      if (createdAt <= (newest.get(license.subscriptionId)?.createdAt ?? Number.NEGATIVE_INFINITY)) continue;
      newest.set(license.subscriptionId, { createdAt, dev: isDev(license) });
    }
    return new Set([...newest].filter(([, { dev }]) => dev).map(([id]) => id));
  }

  async function internals(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    const pages = portalPages(portal.subscriptions, options.pageSize, signal);
    for await (const { id, instanceType } of each(EnterpriseSubscriptionSchema, pages, signal))
      if (instanceType === EnterpriseSubscriptionInstanceType.INTERNAL) found.add(id);
    return found;
  }

  return {
    async of(id, signal) {
      const [subscription, dev] = await Promise.all([portal.subscription(id, signal), licensed(id, signal)]);
      return subscription?.instanceType === EnterpriseSubscriptionInstanceType.INTERNAL || dev.has(id);
    },
    async ofAll(signal) {
      const [internal, dev] = await Promise.all([internals(signal), licensed(undefined, signal)]);
      return (id) => internal.has(id) || dev.has(id);
    },
  };
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
