// Subscriptions for the demo's Enterprise Portal, made up but always the same.

import { hash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type CodyGatewayAccessSchema,
  CodyGatewayRateLimitSource,
} from "../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";

/** The access of a subscription as the portal tells of it, with whatever is in it. */
export type Access = MessageInitShape<typeof CodyGatewayAccessSchema>;

/** So many units in so many seconds. */
export type DemoLimit = readonly [limit: number | bigint, seconds: number];

/** A subscription; what is left out is usual for an Enterprise plan. */
export interface DemoSubscription {
  /** UUID, without the portal's `es_`. */
  readonly id: string;
  /** Empty: subscriptions of old have none. */
  readonly name?: string;
  readonly enabled?: boolean;
  readonly tokens?: readonly string[];
  /** `undefined` is no access to the feature. */
  readonly chat?: DemoLimit | undefined;
  readonly code?: DemoLimit | undefined;
  readonly embeddings?: DemoLimit | undefined;
  /** What its instance is for. Default `primary`. */
  readonly instanceType?: "primary" | "secondary" | "internal";
  /** Its licenses, newest first. Default: one of a plan for customers. */
  readonly licenses?: readonly DemoLicense[];
}

/** A license; what is left out is not said. */
export interface DemoLicense {
  readonly tags: readonly string[];
  readonly createdAt?: Date;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
}

const daySeconds = 86_400;

/** The subscription as the portal tells of it: without limits when access is disabled, with its tokens always. */
export function accessOf(subscription: DemoSubscription): Access {
  const { id, name, enabled = true, tokens = [demoToken(id)] } = subscription;
  const limits = {
    chat: [500, daySeconds],
    code: [10_000, daySeconds],
    embeddings: [200_000_000, 30 * daySeconds],
    ...subscription,
  } as const;
  return {
    subscriptionId: `es_${id}`,
    subscriptionDisplayName: name ?? `Subscription ${id.slice(0, 8)}`,
    enabled,
    accessTokens: tokens.map((token) => ({ token })),
    ...(enabled && {
      ...(limits.chat && { chatCompletionsRateLimit: rateLimit(limits.chat) }),
      ...(limits.code && { codeCompletionsRateLimit: rateLimit(limits.code) }),
      ...(limits.embeddings && { embeddingsRateLimit: rateLimit(limits.embeddings) }),
    }),
  };
}

/** A token as those of licence keys are, always the same for `seed`. */
export function demoToken(seed: string): string {
  return `slk_${hash("sha256", `demo licence of ${seed}`, "hex")}`;
}

/** A UUID, always the same for `seed`. */
export function demoUuid(seed: string): string {
  const hex = hash("sha256", `demo id ${seed}`, "hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** So many subscriptions, each with a token of its own. `change` makes some of them different. */
export function demoSubscriptions(
  count: number,
  change: (index: number) => Partial<DemoSubscription> = () => ({}),
): DemoSubscription[] {
  return Array.from({ length: count }, (_, index) => ({
    id: demoUuid(String(index)),
    name: `Customer ${index}`,
    ...change(index),
  }));
}

function rateLimit([limit, seconds]: DemoLimit) {
  return {
    source: CodyGatewayRateLimitSource.PLAN,
    limit: BigInt(limit),
    intervalDuration: { seconds: BigInt(seconds) },
  };
}
