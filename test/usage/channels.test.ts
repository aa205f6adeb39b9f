import { createHmac } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Alert, AlertChannel } from "../../src/usage/alert.js";
import { createSlackChannel } from "../../src/usage/channels/slack.js";
import { alertEventType, createWebhookChannel } from "../../src/usage/channels/webhook.js";
import { type WebhookListener, webhookListener } from "../helpers/webhook.js";

let listener: WebhookListener;
beforeAll(async () => {
  listener = await webhookListener();
});
afterAll(() => listener[Symbol.asyncDispose]());
beforeEach(() => {
  (listener.posted as unknown[]).length = 0;
  listener.answer((res) => void res.end("ok"));
});

const at = new Date("2026-11-26T01:00:00Z");
const alert: Alert = {
  id: "alert-1",
  at,
  actor: { source: "dotcom-product-subscriptions", id: "0f1c", name: "Acme & <Sons>" },
  reached: {
    feature: "chat_completions",
    unit: "requests",
    limit: 500,
    used: 478,
    windowMs: 86_400_000,
    resetAt: new Date("2026-11-26T04:30:00Z"),
    models: undefined,
  },
  percent: 95,
  threshold: 95,
  test: false,
};

async function sent(channel: AlertChannel, given: Alert = alert) {
  await channel.send(given);
  await channel.close();
  const [post] = listener.posted;
  return { ...post, json: JSON.parse(post?.body ?? "") as unknown };
}

describe("Slack", () => {
  const linkOf = ({ id }: Alert["actor"]): string =>
    `https://sourcegraph.com/site-admin/dotcom/product/subscriptions/${id}`;

  it("is told who has used how much of what, and when it resets", async () => {
    const { path, headers, json } = await sent(createSlackChannel(`${listener.url}/services/T0/B0/x`, { linkOf }));
    const text =
      "<https://sourcegraph.com/site-admin/dotcom/product/subscriptions/0f1c|Acme &amp; &lt;Sons&gt;> " +
      "(dotcom-product-subscriptions/0f1c) has used *95 %* of its limit of 500 requests in 24h0m0s for `chat_completions`. " +
      "It resets in 3h30m0s, at 2026-11-26T04:30:00.000Z.";

    expect(path).toBe("/services/T0/B0/x");
    expect(headers?.["content-type"]).toMatch(/^application\/json/);
    expect(json).toEqual({ text, blocks: [{ type: "section", text: { type: "mrkdwn", text } }] });
  });

  it.each(["<!channel> <@U1>", "<https://evil.example|click>", "a\nb\u202ec", "x".repeat(5_000), "&amp;"])(
    "is told nothing that mentions, links or breaks the line: %j",
    async (name) => {
      const { json } = await sent(createSlackChannel(listener.url), {
        ...alert,
        actor: { source: "static", id: name, name },
      });
      const { text } = json as { text: string };

      expect(text).not.toMatch(/[<>\n\u202e]/);
      expect(text.length).toBeLessThan(3_000);
      expect(text.replace(/&(amp|lt|gt);/g, "")).not.toContain("&");
    },
  );

  it("is told of a test as such", async () => {
    const { json } = await sent(createSlackChannel(listener.url), { ...alert, test: true });

    expect((json as { text: string }).text).toMatch(/^\*Test of the alerts of Cody Gateway; nothing has happened\.\*/);
  });

  it("is named without its URL, which is a secret", () => {
    expect(JSON.stringify(createSlackChannel("https://hooks.slack.com/services/T0/B0/canary"))).not.toContain("canary");
  });
});

describe("a webhook", () => {
  it("is posted a CloudEvent", async () => {
    const { headers, json } = await sent(createWebhookChannel(`${listener.url}/hook?x=1`));

    expect(headers?.["content-type"]).toBe("application/cloudevents+json; charset=UTF-8");
    expect(headers?.["webhook-signature"]).toBeUndefined();
    expect(json).toEqual({
      specversion: "1.0",
      id: "alert-1",
      source: "/cody-gateway",
      type: alertEventType,
      time: "2026-11-26T01:00:00.000Z",
      datacontenttype: "application/json",
      data: {
        actor: alert.actor,
        feature: "chat_completions",
        unit: "requests",
        limit: 500,
        used: 478,
        percent: 95,
        threshold: 95,
        windowMs: 86_400_000,
        resetAt: "2026-11-26T04:30:00.000Z",
        test: false,
      },
    });
  });

  it.each([
    ["a secret as others make them", `whsec_${Buffer.alloc(24, "k").toString("base64")}`, Buffer.alloc(24, "k")],
    ["a secret that is a text", "a secret of the operator", Buffer.from("a secret of the operator")],
  ])("is signed with %s", async (_, secret, key) => {
    const { headers = {}, body } = await sent(createWebhookChannel(listener.url, { secret, now: () => at.getTime() }));
    const signed = `${headers["webhook-id"] as string}.${headers["webhook-timestamp"] as string}.${body}`;

    expect(headers["webhook-id"]).toBe("alert-1");
    expect(headers["webhook-timestamp"]).toBe("1795654800");
    expect(headers["webhook-signature"]).toBe(`v1,${createHmac("sha256", key).update(signed).digest("base64")}`);
  });
});

describe.each([
  ["Slack", (url: string) => createSlackChannel(url, { timeoutMs: 200 })],
  ["a webhook", (url: string) => createWebhookChannel(url, { timeoutMs: 200 })],
])("%s", (_, make) => {
  it.each([
    [400, "AlertRefusedError"],
    [404, "AlertRefusedError"],
    [301, "AlertRefusedError"],
    [429, "Error"],
    [408, "Error"],
    [500, "Error"],
    [503, "Error"],
  ])("that answers %i: %s", async (status, name) => {
    listener.answer((res) => void res.writeHead(status, { location: "/elsewhere" }).end());
    const channel = make(listener.url);

    await expect(channel.send(alert)).rejects.toMatchObject({ name, message: `answered ${status}` });
    expect(listener.posted).toHaveLength(1);
    await channel.close();
  });

  it("that never answers is not waited for", async () => {
    listener.answer(() => undefined);
    const channel = make(listener.url);

    await expect(channel.send(alert)).rejects.toThrow();
    await channel.close();
  });
});
