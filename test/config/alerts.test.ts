import { describe, expect, it } from "vitest";
import { type Config, formatProblem, loadConfig, showConfig } from "../../src/config.js";

const base = {
  OPENAI_API_KEY: "o",
  CODY_GATEWAY_CONFIG: "gateway.yaml",
  SLACK: "https://hooks.slack.com/services/canary",
  SECRET: "canary canary canary",
  SHORT: "canary",
};

function load(yaml: string, env: Readonly<Record<string, string>> = {}): Config {
  const loaded = loadConfig({ ...base, ...env }, () => yaml);
  if ("problems" in loaded) throw new Error(loaded.problems.map(formatProblem).join("\n"));
  return loaded.config;
}

const usual = { thresholds: [90, 95, 100], sources: ["dotcom-product-subscriptions"] };

describe("alerts", () => {
  it("are none unless something is set", () => {
    expect(load("").alerts).toEqual([]);
  });

  it("are set by the variable and by the file", () => {
    const yaml = `
notifications:
  - slack: env:SLACK
  - { webhook: "http://127.0.0.1:9/?x=1", secret: env:SECRET, thresholds: [ 50.5 ], sources: [ static, anonymous ] }`;
    const url = "https://hooks.slack.com/services/x";

    expect(load(yaml, { CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL: url }).alerts).toEqual([
      { kind: "slack", url, secret: undefined, ...usual },
      { kind: "slack", url: base.SLACK, secret: undefined, ...usual },
      {
        kind: "webhook",
        url: "http://127.0.0.1:9/?x=1",
        secret: base.SECRET,
        thresholds: [50.5],
        sources: ["static", "anonymous"],
      },
    ]);
  });

  it("say at start that a webhook without secret cannot be trusted", () => {
    expect(load("notifications: [ { webhook: 'https://h' } ]").notices.join()).toContain("without secret");
    expect(load("notifications: [ { webhook: 'https://h', secret: env:SECRET } ]").notices.join()).not.toContain(
      "secret",
    );
  });

  it("are shown without what is secret", () => {
    const env = { ...base };
    const config = load(
      "notifications: [ { slack: env:SLACK }, { webhook: 'https://h/a?canary', secret: env:SECRET } ]",
    );

    expect(JSON.stringify(showConfig(config, env, () => "").alerts)).not.toContain("canary");
  });

  it.each([
    ["[ {} ]", "notifications[0]: expected either slack or webhook"],
    ["[ { slack: env:SLACK, webhook: 'https://h' } ]", "expected either slack or webhook"],
    ["[ { slack: 'https://hooks.slack.com/x' } ]", "notifications[0].slack: expected a reference"],
    ["[ { slack: env:NOTHING } ]", "expected the variable NOTHING to be set"],
    ["[ { webhook: 'ftp://h' } ]", "notifications[0].webhook: expected an http:// or https:// URL"],
    ["[ { webhook: 'https://u:p@h' } ]", "notifications[0].webhook: expected an http:// or https:// URL"],
    ["[ { slack: env:SLACK, secret: env:SECRET } ]", "expected secret beside webhook only"],
    ["[ { webhook: 'https://h', secret: env:SHORT } ]", "notifications[0].secret: expected 16 characters or more"],
    ["[ { slack: env:SLACK, thresholds: [ 0 ] } ]", "notifications[0].thresholds[0]"],
    ["[ { slack: env:SLACK, thresholds: [ 101 ] } ]", "notifications[0].thresholds[0]"],
    ["[ { slack: env:SLACK, sources: [] } ]", "notifications[0].sources: expected at least one source"],
  ])("refuse %s", (section, expected) => {
    const loaded = loadConfig(base, () => `notifications: ${section}`);
    const problems = "problems" in loaded ? loaded.problems.map(formatProblem) : [];

    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
    expect(problems[0]).not.toContain("canary");
  });
});
