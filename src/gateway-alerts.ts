// Alerts: whom they go to, and where is kept which were sent: in Redis, in the data directory, or in memory.

import type { AlertConfig, Config } from "./config.js";
import { userAgentOf } from "./gateway-back-ends.js";
import type { Clock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import type { Metrics } from "./telemetry/metrics.js";
import type { Alert, AlertChannel, AlertClaims } from "./usage/alert.js";
import { createSlackChannel } from "./usage/channels/slack.js";
import { createWebhookChannel } from "./usage/channels/webhook.js";
import { createDatabaseClaims } from "./usage/database-claims.js";
import { createMemoryClaims } from "./usage/memory-claims.js";
import { createNotifier, type Notifier } from "./usage/notify.js";
import { createRedisClaims } from "./usage/redis-claims.js";

export interface AlertParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly version: string;
  readonly database: Database | undefined;
  readonly metrics: Pick<Metrics, "alertHandled">;
}

/** Undefined where nobody wants alerts. Rejects with `DatabaseUnusableError`. */
export async function createAlerts(config: Config, parts: AlertParts): Promise<Notifier | undefined> {
  const { alerts } = config;
  if (alerts.length === 0) return undefined;
  const userAgent = userAgentOf(config, parts);
  const rules = alerts.map((alert) => ({ ...alert, channel: channelOf(alert, config, userAgent) }));
  const claims = await createClaims(config, parts);
  return createNotifier({ ...parts, rules, claims, count: parts.metrics.alertHandled });
}

function channelOf({ kind, url, secret }: AlertConfig, config: Config, userAgent: string): AlertChannel {
  return kind === "slack"
    ? createSlackChannel(url, { linkOf: adminPages(config), userAgent })
    : createWebhookChannel(url, { secret, userAgent });
}

/** Where people administer subscriptions: at Sourcegraph.com. */
function adminPages({ dotcom }: Config) {
  const { origin } = new URL(dotcom?.apiUrl ?? "https://sourcegraph.com");
  return ({ source, id }: Alert["actor"]): string | undefined =>
    source === "dotcom-product-subscriptions"
      ? `${origin}/site-admin/dotcom/product/subscriptions/${encodeURIComponent(id)}`
      : undefined;
}

async function createClaims({ redisEndpoint, redisPrefix }: Config, parts: AlertParts): Promise<AlertClaims> {
  const { database, clock, log } = parts;
  if (database) return createDatabaseClaims({ database, clock });
  if (redisEndpoint === undefined) return createMemoryClaims({ clock });
  // Takes time and memory at the start, for those who use it.
  const { connectRedis } = await import("./lib/redis.js");
  return createRedisClaims({ redis: connectRedis(redisEndpoint, "alerts", { log }), clock }, { prefix: redisPrefix });
}
