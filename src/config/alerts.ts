// Who is told when actors have used most of a limit: the variable of the existing gateway, and the file's section.

import * as z from "zod";
import * as as from "./schemas.js";
import { secret } from "./setting.js";
import { strict } from "./strict.js";
import type { AlertConfig } from "./types.js";

/** The settings. */
export const alerts = {
  slackUrl: secret(
    "CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL",
    as.baseUrl.optional(),
    "Incoming webhook of Slack that is told when an Enterprise subscription has used 90, 95 and 100 % of a limit.",
  ),
};

const defaultThresholds = [90, 95, 100];
/** Of the others only those are told of that a notification names. */
const defaultSources = ["dotcom-product-subscriptions"];

/** Those of the variable and of the file. */
export function alertsOf(
  values: { readonly slackUrl: string | undefined },
  file: readonly AlertConfig[],
): AlertConfig[] {
  const { slackUrl: url } = values;
  const common = { thresholds: defaultThresholds, sources: defaultSources };
  return [...(url === undefined ? [] : [{ kind: "slack" as const, url, secret: undefined, ...common }]), ...file];
}

const url = "an http:// or https:// URL without user or fragment";

/** With its query, which may be secret. */
const webhookUrl = as.parsed(url, (words) => {
  const parsed = URL.canParse(words) ? new URL(words) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.username || parsed.password) return undefined;
  return parsed.hash === "" ? words : undefined;
});

const threshold = z.number("expected a percentage from 1 to 100").min(1).max(100);
const source = z.string().regex(/^[\w.-]{1,128}$/, "expected the name of a source, such as static");

/** One entry of the section. `reference` reads what `env:NAME` or `file:/path` stands for. */
export function notification(reference: z.ZodType<string>) {
  return strict({
    slack: reference.pipe(as.baseUrl).optional(),
    webhook: z
      .union(
        [
          z
            .string()
            .regex(/^https?:/)
            .pipe(webhookUrl),
          reference.pipe(webhookUrl),
        ],
        {
          error: `expected ${url}, or a reference to one, env:NAME or file:/path`,
        },
      )
      .optional(),
    secret: reference.refine((text) => text.length >= 16, "expected 16 characters or more").optional(),
    thresholds: z.array(threshold).min(1, "expected at least one percentage").default(defaultThresholds),
    sources: z.array(source).min(1, "expected at least one source").default(defaultSources),
  }).transform(({ slack, webhook, secret: signs, thresholds, sources }, context): AlertConfig => {
    const refuse = (message: string): void => context.addIssue({ code: "custom", message });
    if ((slack === undefined) === (webhook === undefined)) refuse("expected either slack or webhook");
    if (slack !== undefined && signs !== undefined) refuse("expected secret beside webhook only: Slack checks nothing");
    const kind = slack === undefined ? "webhook" : "slack";
    return { kind, url: slack ?? webhook ?? "", secret: signs, thresholds, sources };
  });
}
