// What docs/alerts.md shows, held against the code.

import { expect, it } from "vitest";
import { loadConfig } from "../../src/config.js";
import { alertEventType } from "../../src/usage/channels/webhook.js";
import { blocksOf, readText } from "./markdown.js";

const blocks = blocksOf(readText("docs/alerts.md"));

it("docs/alerts.md shows a section that is right, and an event of our type", () => {
  const yaml = blocks.find(({ language }) => language === "yaml")?.text ?? "";
  const env = {
    OPENAI_API_KEY: "key",
    CODY_GATEWAY_CONFIG: "gateway.yaml",
    SLACK_WEBHOOK: "https://hooks.slack.com/services/a/b/c",
    ALERT_SECRET: "a secret of sixteen characters",
  };
  const event = JSON.parse(blocks.find(({ language }) => language === "json")?.text ?? "") as { type: string };

  expect(loadConfig(env, () => yaml)).toMatchObject({
    config: {
      alerts: [
        { kind: "slack", url: env.SLACK_WEBHOOK, thresholds: [90, 95, 100] },
        { kind: "webhook", url: "https://alerts.example.com/cody-gateway", secret: env.ALERT_SECRET },
      ],
    },
  });
  expect(event.type).toBe(alertEventType);
});
