// wire.md 8 (notifications), 15.29: what Slack is told, by the existing gateway's variable alone.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { userToken } from "../../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { type WebhookListener, webhookListener } from "../../helpers/webhook.js";
import { bearer, wireTo } from "../../helpers/wire.js";

let ends: DemoBackEnds;
let slack: WebhookListener;
let gw: TestGateway;
beforeAll(async () => {
  [ends, slack] = await Promise.all([startDemoBackEnds(), webhookListener()]);
  ends.portal.set({ id: demoUuid("customer"), name: "Customer", chat: [20, 86_400] });
  const limit = { limit: 20, intervalSeconds: 86_400, allowedModels: ["*"] };
  ends.dotcom.set({ id: 42, username: "ada", chat: limit });
  gw = await testGateway({
    env: {
      ...ends.env,
      CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL: `${slack.url}/services/x`,
      CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE: "100",
    },
  });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await Promise.all([ends.close(), slack[Symbol.asyncDispose]()]);
});

async function use(token: string, times: number): Promise<void> {
  const body = { model: "gpt-4o", messages: [{ role: "user", content: "hi" }] };
  const headers = [bearer(token), "X-Sourcegraph-Feature: chat_completions"];
  for (let time = 0; time < times; time++) await wireTo(gw).send("POST /v1/completions/openai", headers, body);
}

describe("8 notifications", () => {
  it("8, 15.29 Slack is told of subscriptions at 90, 95 and 100 %, once each, and of no user", async () => {
    await use(userToken(42), 22);
    await use(demoToken(demoUuid("customer")), 25);
    const told = await slack.received(3);
    expect(slack.posted).toHaveLength(3);
    for (const [index, percent] of ["90", "95", "100"].entries()) {
      const { body = "" } = told[index] ?? {};
      expect(body).toContain(percent);
      expect(body).toContain(`/site-admin/dotcom/product/subscriptions/${demoUuid("customer")}`);
      expect(JSON.parse(body)).toHaveProperty("blocks.0.type", "section");
    }
  });
});
