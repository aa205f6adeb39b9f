import { createHmac } from "node:crypto";
import { createHttpCaller } from "../../lib/http-caller.js";
import type { Alert, AlertChannel } from "../alert.js";
import { bareUrl, targetKey } from "../target.js";
import { judge } from "./answers.js";

export interface WebhookOptions {
  /** Signs what is sent: the bytes after `whsec_`, in base64, or else the text's own. Undefined: nothing is signed. */
  readonly secret?: string | undefined;
  /** How the gateway names itself. */
  readonly userAgent?: string;
  /** Default 15 s. */
  readonly timeoutMs?: number;
  readonly now?: () => number;
}

export const alertEventType = "com.sourcegraph.cody-gateway.alert.v1";

/**
 * Posts a CloudEvent, structured: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md,
 * signed as https://www.standardwebhooks.com has it.
 */
export function createWebhookChannel(url: string, options: WebhookOptions = {}): AlertChannel {
  const { secret, timeoutMs = 15_000, now = Date.now } = options;
  // One for what is delivered, one for a test, which does not wait for it.
  const caller = createHttpCaller("the webhook", { timeoutMs, connections: 2, userAgent: options.userAgent });
  const key = secret === undefined ? undefined : keyOf(secret);
  return {
    name: `webhook ${new URL(url).host}`,
    key: targetKey("webhook", bareUrl(url)),
    async send(alert) {
      const body = JSON.stringify(toCloudEvent(alert));
      const timestamp = String(Math.floor(now() / 1_000));
      const headers: Record<string, string> = {
        "content-type": "application/cloudevents+json; charset=UTF-8",
        "webhook-id": alert.id,
        "webhook-timestamp": timestamp,
      };
      if (key) headers["webhook-signature"] = `v1,${sign(key, `${alert.id}.${timestamp}.${body}`)}`;
      judge(await caller.post({ url, headers, body }));
    },
    close: caller.close,
  };
}

function keyOf(secret: string): Buffer {
  return secret.startsWith("whsec_") ? Buffer.from(secret.slice("whsec_".length), "base64") : Buffer.from(secret);
}

function sign(key: Buffer, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64");
}

function toCloudEvent({ id, at, actor, reached, percent, threshold, test }: Alert) {
  const { feature, unit, limit, used, windowMs, resetAt, models } = reached;
  return {
    specversion: "1.0",
    id,
    source: "/cody-gateway",
    type: alertEventType,
    time: at.toISOString(),
    datacontenttype: "application/json",
    data: { actor, feature, unit, limit, used, percent, threshold, windowMs, resetAt, models, test },
  };
}
