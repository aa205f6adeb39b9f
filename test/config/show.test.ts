import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { settings, vendors } from "../../src/config/settings.js";
import {
  type Config,
  ConfigError,
  describeSettings,
  loadConfig,
  renderSettings,
  showConfig,
} from "../../src/config.js";

const docs = resolve(import.meta.dirname, "../../docs/configuration.md");

type Env = Readonly<Record<string, string>>;

function load(env: Env, readFile: (path: string) => string): Config {
  const loaded = loadConfig(env, readFile);
  if ("problems" in loaded) throw new ConfigError(loaded.problems);
  return loaded.config;
}

describe("describeSettings", () => {
  const described = describeSettings();

  it("lists every setting once", () => {
    const names = [...Object.values(settings), ...Object.values(vendors).flatMap((group) => Object.values(group))];

    expect(described.map(({ name }) => name).toSorted()).toEqual(names.map(({ name }) => name).toSorted());
    expect(new Set(described.map(({ name }) => name)).size).toBe(described.length);
  });

  it("shows defaults as they would be written, and says what each setting is for", () => {
    expect(described.find(({ name }) => name === "CODY_GATEWAY_DRAIN_TIMEOUT")).toMatchObject({ default: "10m" });
    expect(described.find(({ name }) => name === "REDIS_ENDPOINT")).toMatchObject({ default: undefined, secret: true });
    for (const { sentence } of described) expect(sentence).toMatch(/^\S.*\.$/);
  });
});

describe("docs/configuration.md", () => {
  const text = readFileSync(docs, "utf8");

  // `vitest -u` writes the tables anew.
  it("has the tables of the settings", async () => {
    const tables = /(<!-- settings[^>]*-->\n)[\s\S]*?(<!-- \/settings -->)/;
    expect(text).toMatch(tables);

    const current = text.replace(tables, (_, begin: string, end: string) => `${begin}\n${renderSettings()}\n\n${end}`);

    await expect(current).toMatchFileSnapshot(docs);
  });

  it("shows a file that is right", () => {
    const [, yaml = ""] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
    const env = {
      CODY_GATEWAY_CONFIG: "/gateway.yaml",
      ANTHROPIC_KEY_A: "a",
      ANTHROPIC_KEY_B: "b",
      ACME_TOKEN: "a token of twenty characters",
    };

    const config = load(env, () => yaml);

    expect(config.upstreams.map(({ name }) => name)).toEqual(["anthropic", "local", "vectors"]);
    expect(config.models).toHaveLength(3);
    expect(config.staticActors[0]?.actor.features.chat_completions?.limits).toHaveLength(2);
  });
});

describe("showConfig", () => {
  it("masks what is secret of where events go, and shows the rest", () => {
    const env = {
      ANTHROPIC_API_KEY: "canary",
      CODY_GATEWAY_EVENTS_SINKS:
        "stdout, https://canary:canary@host/a?token=canary,postgres://user:canary@db:5432/usage",
      CODY_GATEWAY_EVENTS_HTTP_HEADERS: "authorization: Bearer canary",
    };
    const shown = showConfig(
      load(env, () => ""),
      env,
      () => "",
    );
    const value = shown.settings.find(({ name }) => name === "CODY_GATEWAY_EVENTS_SINKS")?.value;
    expect(value).toBe("stdout, https://********@host/a?********,postgres://********@db:5432/usage");
    expect(JSON.stringify(shown)).not.toContain("canary");
  });

  it("says what is in effect and where it comes from", () => {
    const env = { ANTHROPIC_API_KEY: "key", PORT: "8080", CODY_GATEWAY_DRAIN_DELAY: "1m0s" };

    const shown = showConfig(
      load(env, () => ""),
      env,
      () => "",
    );

    expect(shown.settings).toEqual(
      expect.arrayContaining([
        { name: "PORT", value: "8080", from: "environment" },
        { name: "CODY_GATEWAY_DRAIN_DELAY", value: "1m0s", from: "environment" },
        { name: "CODY_GATEWAY_DRAIN_TIMEOUT", value: "10m", from: "default" },
        { name: "REDIS_ENDPOINT", value: undefined, from: "default" },
        { name: "CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN", value: "********", from: "ANTHROPIC_API_KEY" },
      ]),
    );
    expect(shown.providers).toEqual([
      expect.objectContaining({
        name: "anthropic",
        keys: [{ name: "CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN", value: "********", weight: 1 }],
        models: "default",
      }),
    ]);
  });

  it("holds no secret, wherever it was set", () => {
    const yaml = `
providers: [ { name: local, kind: openai-compatible, baseUrl: http://h, models: ["*"], keys: [ { ref: env:KEY } ] } ]
actors: [ { id: a, tokens: [ { ref: env:TOKEN } ], limits: {} } ]
notifications: [ { slack: env:SLACK }, { webhook: env:SLACK, secret: env:KEY } ]`;
    const env: Record<string, string> = {
      CODY_GATEWAY_CONFIG: "/gw",
      KEY: "canary-key-of-the-tests",
      SLACK: "https://hooks/canary",
      TOKEN: "canary-canary-canary",
    };
    const secrets = describeSettings().filter(({ secret }) => secret);
    for (const { name } of secrets) env[name] = "canary-of-a-secret";
    env["REDIS_ENDPOINT"] = "redis://user:canary@redis:6379";
    env["CODY_GATEWAY_EVENTS_SINKS"] = "http://canary:canary@h/?canary=canary,postgres://h/db?password=canary";
    env["CODY_GATEWAY_EVENTS_HTTP_HEADERS"] = "authorization: canary";
    env["CODY_GATEWAY_ADMIN_TOKENS"] = `ann:operator:${"ca".repeat(32)}`;
    env["CODY_GATEWAY_FLAGGED_PROMPTS_KEYS"] = `canary:${"ca".repeat(32)}`;
    env["CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL"] = "https://hooks/canary";
    env["SAMS_CLIENT_ID"] = "gateway";
    const config = load(env, () => yaml);

    const shown = JSON.stringify(showConfig(config, env, () => yaml));

    expect(secrets.length).toBeGreaterThan(6);
    expect(JSON.stringify(config)).toContain("canary");
    expect(shown).not.toContain("canary");
    expect(shown).not.toContain("caca");
    expect(shown).not.toContain(config.staticActors[0]?.tokenSha256[0]);
  });
});
