import { describe, expect, it } from "vitest";
import { type Config, ConfigError, formatProblem, loadConfig } from "../src/config.js";
import { upstreamKinds } from "../src/gateway-upstreams.js";

const key = { CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN: "anthropic-key" };
const clock = { now: () => 1_700_000_000_000 };

type Env = Readonly<Record<string, string>>;

/** Reads from `files`, and fails as the file system does. */
function reader(files: Env): (path: string) => string {
  return (path) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error(`secret-laden message about ${path}`), { code: "ENOENT" });
    return text;
  };
}

function load(env: Env, files: Env = {}): Config {
  const loaded = loadConfig(env, reader(files), { clock, kinds: upstreamKinds });
  if ("problems" in loaded) throw new ConfigError(loaded.problems);
  return loaded.config;
}

function problemsOf(env: Env, files: Env = {}): string[] {
  const loaded = loadConfig(env, reader(files), { clock, kinds: upstreamKinds });
  return "problems" in loaded ? loaded.problems.map(formatProblem) : [];
}

describe("loadConfig, environment", () => {
  it("needs no more than one key", () => {
    expect(load(key)).toMatchObject({
      host: "0.0.0.0",
      port: 9992,
      drain: { delayMs: 5_000, timeoutMs: 600_000 },
      maxBodyBytes: 33_554_432,
      maxMessageBytes: 16_777_216,
      redisPrefix: "cody-gateway:",
      redisTimeoutMs: 100,
      quotaLeaseMs: 30_000,
      allowAnonymous: false,
      burst: { percentage: 50, windowMs: 10_000 },
      sources: { maxStaleMs: 86_400_000, cacheTtlMs: 86_400_000 },
      upstreamTimeouts: { connectMs: 5_000, firstByteMs: 60_000, idleMs: 120_000, totalMs: 3_600_000 },
      quotaStoreFailure: { chat_completions: "deny", code_completions: "deny", embeddings: "deny" },
      maxTokensToSample: 4_000,
      eventSinks: [{ kind: "stdout" }],
      events: { maxWaiting: undefined, whenFull: "drop", httpHeaders: {} },
      log: { level: "info", format: undefined },
      upstreams: [
        {
          name: "anthropic",
          kind: "anthropic",
          baseUrl: "https://api.anthropic.com",
          keys: [{ name: "CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN", value: "anthropic-key", weight: 1 }],
          models: undefined,
          embeddings: { models: undefined, inputsPerCall: undefined, tokensPerCall: undefined },
        },
      ],
    });
  });

  it("starts with the environment of an existing gateway", () => {
    const config = load({
      PORT: "9992",
      REDIS_ENDPOINT: "redis:6379",
      CODY_GATEWAY_DIAGNOSTICS_SECRET: "diagnostics",
      CODY_GATEWAY_ENVIRONMENT: "prod",
      CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: "dotcom",
      CODY_GATEWAY_DOTCOM_API_URL: "https://sourcegraph.com/.api/graphql",
      CODY_GATEWAY_DOTCOM_ACTOR_COOLDOWN_INTERVAL: "300s",
      CODY_GATEWAY_ENTERPRISE_PORTAL_URL: "https://portal.example.com",
      SAMS_URL: "https://accounts.sourcegraph.com",
      SAMS_CLIENT_ID: "client",
      SAMS_CLIENT_SECRET: "secret",
      CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN: "anthropic-key",
      CODY_GATEWAY_ANTHROPIC_ALLOWED_MODELS: "claude-2, claude-instant-1",
      CODY_GATEWAY_ANTHROPIC_MAX_TOKENS_TO_SAMPLE: "10000",
      CODY_GATEWAY_ANTHROPIC_PROMPT_TOKEN_BLOCKING_LIMIT: "20000",
      CODY_GATEWAY_ANTHROPIC_BLOCKED_PROMPT_PATTERNS: "do not,say this",
      CODY_GATEWAY_ANTHROPIC_REQUEST_BLOCKING_ENABLED: "true",
      CODY_GATEWAY_OPENAI_ACCESS_TOKEN: "openai-key",
      CODY_GATEWAY_OPENAI_ORG_ID: "org-1",
      CODY_GATEWAY_FIREWORKS_ACCESS_TOKEN: "fireworks-key",
      CODY_GATEWAY_FIREWORKS_STARCODER_COMMUNITY_SINGLE_TENANT_PERCENT: "0",
      CODY_GATEWAY_FIREWORKS_DISABLE_SINGLE_TENANT: "false",
      CODY_GATEWAY_GOOGLE_ACCESS_TOKEN: "google-key",
      CODY_GATEWAY_ALLOWED_EMBEDDINGS_MODELS: "openai/text-embedding-ada-002",
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN: "embeddings-key",
      CODY_GATEWAY_ALLOW_ANONYMOUS: "false",
      CODY_GATEWAY_SOURCES_SYNC_INTERVAL: "2m",
      CODY_GATEWAY_SOURCES_CACHE_TTL: "24h",
      CODY_GATEWAY_BIGQUERY_PROJECT_ID: "project",
      CODY_GATEWAY_BIGQUERY_EVENT_BUFFER_SIZE: "100",
      CODY_GATEWAY_TRACE_POLICY: "all",
      CODY_GATEWAY_OTEL_GCP_PROJECT_ID: "project",
      CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE: "50",
      CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_INTERVAL: "10s",
      CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL: "https://hooks.example.com/secret",
      CODY_GATEWAY_AUTO_FLUSH_STREAMING_RESPONSES: "true",
      CODY_GATEWAY_IDENTIFIERS_TO_LOG_FOR: "a,b",
      CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH: "true",
      SRC_HTTP_CLI_EXTERNAL_TIMEOUT: "5m",
      SRC_HTTP_CLI_EXTERNAL_RETRY_MAX_ATTEMPTS: "20",
      INSECURE_DEV: "false",
      SRC_LOG_LEVEL: "dbug",
      SRC_LOG_FORMAT: "json_gcp",
    });

    expect(config.upstreams.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      "anthropic anthropic",
      "openai openai",
      "fireworks fireworks",
      "google google",
      "sourcegraph kserve-embeddings",
    ]);
    expect(config.upstreams[0]?.models).toEqual(["claude-2", "claude-instant-1"]);
    expect(config.upstreams.map(({ name, embeddings }) => [name, embeddings.models])).toEqual([
      ["anthropic", []],
      ["openai", ["text-embedding-ada-002"]],
      ["fireworks", []],
      ["google", []],
      ["sourcegraph", []],
    ]);
    expect(config.upstreams[1]?.headers).toEqual({ "OpenAI-Organization": "org-1" });
    expect(config).toMatchObject({
      redisEndpoint: "redis:6379",
      diagnosticsSecret: "diagnostics",
      maxTokensToSample: 10_000,
      log: { level: "debug", format: "json" },
    });
  });

  it("says what limits are kept in, where that is not Redis or a data directory alone", () => {
    const notices = (env: Env): string => load({ ...key, ...env }).notices.join("\n");
    const redis = { REDIS_ENDPOINT: "127.0.0.1:6379" };
    const directory = { CODY_GATEWAY_DATA_DIR: "/data" };

    expect(notices({})).toMatch(
      /neither REDIS_ENDPOINT nor CODY_GATEWAY_DATA_DIR is set: limits and events that wait are in memory only/,
    );
    expect(notices(directory)).not.toMatch(/memory|DATA_DIR/);
    expect(notices(redis)).not.toMatch(/memory|DATA_DIR/);
    expect(notices({ ...redis, ...directory })).toMatch(/CODY_GATEWAY_DATA_DIR: no effect with REDIS_ENDPOINT/);
  });

  it("says why what is set has no effect, and does not repeat values", () => {
    const { notices } = load({
      ...key,
      CODY_GATEWAY_AUTO_FLUSH_STREAMING_RESPONSES: "true",
      CODY_GATEWAY_FIREWORKS_DISABLE_SINGLE_TENANT: "canary",
      CODY_GATEWAY_IDENTIFIERS_TO_LOG_FOR: "canary",
      CODY_GATEWAY_DOTCOM_INTERNAL_MODE_FILE: "/run/canary",
      CODY_GATEWAY_ANTROPIC_ACCESS_TOKEN: "canary",
    });

    expect(notices).toEqual(
      expect.arrayContaining([
        "CODY_GATEWAY_AUTO_FLUSH_STREAMING_RESPONSES: no effect, streams are always passed on as they come",
        "CODY_GATEWAY_IDENTIFIERS_TO_LOG_FOR: no effect, prompts are never written to events or logs",
        "CODY_GATEWAY_ANTROPIC_ACCESS_TOKEN: no effect, there is no such setting (misspelt?)",
      ]),
    );
    expect(notices.some((notice) => /DOTCOM_INTERNAL_MODE_FILE: no effect/.test(notice))).toBe(true);
    expect(notices.join()).not.toContain("canary");
  });

  it("takes an empty variable for an unset one", () => {
    expect(load({ ...key, PORT: "", CODY_GATEWAY_OPENAI_ACCESS_TOKEN: " " })).toMatchObject({
      port: 9992,
      upstreams: [{ name: "anthropic" }],
    });
  });

  it("reads the vendors' own variables where the gateway's are unset", () => {
    const config = load({
      ANTHROPIC_API_KEY: "a",
      OPENAI_API_KEY: "not this",
      CODY_GATEWAY_OPENAI_ACCESS_TOKEN: "o",
      GEMINI_API_KEY: "g",
      FIREWORKS_API_KEY: "f",
    });

    expect(config.upstreams.map(({ name, keys }) => [name, keys[0]?.value])).toEqual([
      ["anthropic", "a"],
      ["openai", "o"],
      ["fireworks", "f"],
      ["google", "g"],
    ]);
  });

  it("reads secrets from files", () => {
    const config = load(
      { ANTHROPIC_API_KEY_FILE: "/run/key", REDIS_ENDPOINT_FILE: "/run/redis" },
      { "/run/key": "  from-file\n", "/run/redis": "rediss://:password@redis:6379/1\n" },
    );

    expect(config.upstreams[0]?.keys).toEqual([
      { name: "CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN", value: "from-file", weight: 1 },
    ]);
    expect(config.redisEndpoint).toBe("rediss://:password@redis:6379/1");
  });

  it("reads durations, percentages, lists and sinks", () => {
    expect(
      load({
        ...key,
        CODY_GATEWAY_DRAIN_DELAY: "0s",
        CODY_GATEWAY_UPSTREAM_IDLE_TIMEOUT: "24h0m0s",
        CODY_GATEWAY_SOURCES_MAX_STALE: "30d",
        CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE: "12.5%",
        CODY_GATEWAY_CORS_ORIGINS: "https://a.example.com,http://localhost:3000",
        CODY_GATEWAY_EVENTS_SINKS: "stdout, file:/var/log/events.jsonl, https://u:p@host/a?b=c,postgres://u:p@host/db",
        CODY_GATEWAY_EVENTS_HTTP_HEADERS: "Authorization: Bearer a, b\n x-team:  usage ",
        CODY_GATEWAY_EVENTS_MAX_WAITING: "5000",
        CODY_GATEWAY_EVENTS_WHEN_FULL: "deny",
        CODY_GATEWAY_QUOTA_STORE_FAILURE: "allow:20",
        CODY_GATEWAY_ANTHROPIC_BASE_URL: "http://localhost:8080/anthropic/",
        CODY_GATEWAY_ALLOW_ANONYMOUS: "T",
        CODY_GATEWAY_TLS_CERT_FILE: "/tls/cert.pem",
        CODY_GATEWAY_TLS_KEY_FILE: "/tls/key.pem",
      }),
    ).toMatchObject({
      drain: { delayMs: 0 },
      upstreamTimeouts: { idleMs: 86_400_000 },
      sources: { maxStaleMs: 2_592_000_000 },
      burst: { percentage: 12.5 },
      corsOrigins: ["https://a.example.com", "http://localhost:3000"],
      eventSinks: [
        { kind: "stdout" },
        { kind: "file", path: "/var/log/events.jsonl" },
        { kind: "http", url: "https://u:p@host/a?b=c" },
        { kind: "postgres", url: "postgres://u:p@host/db" },
      ],
      events: {
        maxWaiting: 5_000,
        whenFull: "deny",
        httpHeaders: { authorization: "Bearer a, b", "x-team": "usage" },
      },
      quotaStoreFailure: { chat_completions: { allow: 20 }, embeddings: { allow: 20 } },
      upstreams: [{ baseUrl: "http://localhost:8080/anthropic" }],
      allowAnonymous: true,
      tls: { certFile: "/tls/cert.pem", keyFile: "/tls/key.pem" },
    });
  });

  it.each([
    "host:6379",
    "redis://h",
    "redis://:p@h:1/0",
    "rediss://h:1",
    "redis+sentinel://a,b:2/main",
    "redis+cluster://a,b",
  ])("accepts the Redis endpoint %s", (endpoint) => {
    expect(load({ ...key, REDIS_ENDPOINT: endpoint }).redisEndpoint).toBe(endpoint);
  });

  it("says which variable to set, and that there is a demo, when no provider is configured", () => {
    const [problem, ...others] = problemsOf({});

    expect(others).toEqual([]);
    expect(problem).toMatch(/CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN.*CODY_GATEWAY_OPENAI_ACCESS_TOKEN.*cody-gateway demo/);
  });

  it("does not take a key that it cannot read for no key", () => {
    expect(problemsOf({ ANTHROPIC_API_KEY_FILE: "/nowhere" })).toEqual([
      expect.stringMatching(/^ANTHROPIC_API_KEY_FILE: expected a file/),
    ]);
  });

  it.each([
    ["PORT", "http"],
    ["PORT", "65536"],
    ["PORT", "-1"],
    ["PORT", "1e3"],
    ["CODY_GATEWAY_ADMIN_PORT", "9992"],
    ["CODY_GATEWAY_ADMIN_PORT", "0"],
    ["CODY_GATEWAY_DRAIN_TIMEOUT", "ten minutes"],
    ["CODY_GATEWAY_DRAIN_TIMEOUT", "30d"],
    ["CODY_GATEWAY_UPSTREAM_TOTAL_TIMEOUT", "0s"],
    ["CODY_GATEWAY_UPSTREAM_TOTAL_TIMEOUT", "25d"],
    ["CODY_GATEWAY_SOURCES_CACHE_TTL", "-1h"],
    ["CODY_GATEWAY_ALLOW_ANONYMOUS", "maybe"],
    ["CODY_GATEWAY_MAX_BODY_BYTES", "32MB"],
    ["CODY_GATEWAY_MAX_MESSAGE_BYTES", "0"],
    ["CODY_GATEWAY_ANTHROPIC_BASE_URL", "api.anthropic.com"],
    ["CODY_GATEWAY_ANTHROPIC_BASE_URL", "ftp://api.anthropic.com"],
    ["CODY_GATEWAY_ANTHROPIC_BASE_URL", "https://u:p@api.anthropic.com"],
    ["CODY_GATEWAY_ANTHROPIC_BASE_URL", "https://api.anthropic.com/?key=1"],
    ["CODY_GATEWAY_ANTHROPIC_ALLOWED_MODELS", ", ,"],
    ["CODY_GATEWAY_OPENAI_ACCESS_TOKEN", "two words"],
    ["CODY_GATEWAY_OPENAI_ACCESS_TOKEN", "line\r\nx-injected: 1"],
    ["CODY_GATEWAY_TOKEN_PEPPER", "short"],
    ["CODY_GATEWAY_CORS_ORIGINS", "https://a.example.com/path"],
    ["CODY_GATEWAY_CORS_ORIGINS", "example.com"],
    ["CODY_GATEWAY_CORS_ORIGINS", "https://a.example.com/"],
    ["CODY_GATEWAY_CORS_ORIGINS", "ftp://a.example.com"],
    ["CODY_GATEWAY_CORS_ORIGINS", "null"],
    ["CODY_GATEWAY_QUOTA_STORE_FAILURE", "allow"],
    ["CODY_GATEWAY_QUOTA_STORE_FAILURE", "allow:0"],
    ["CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE", "0"],
    ["CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE", "101"],
    ["CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_INTERVAL", "10ms"],
    ["CODY_GATEWAY_EVENTS_SINKS", "kafka"],
    ["CODY_GATEWAY_EVENTS_SINKS", "file:"],
    ["CODY_GATEWAY_EVENTS_SINKS", "none,stdout"],
    ["CODY_GATEWAY_EVENTS_SINKS", "stdout,stdout"],
    ["CODY_GATEWAY_EVENTS_SINKS", "ftp://user:password@host/"],
    ["CODY_GATEWAY_EVENTS_SINKS", "https://host/#part"],
    ["CODY_GATEWAY_EVENTS_HTTP_HEADERS", "authorization=Bearer token"],
    ["CODY_GATEWAY_EVENTS_HTTP_HEADERS", "content-type: text/plain"],
    ["CODY_GATEWAY_EVENTS_MAX_WAITING", "10"],
    ["CODY_GATEWAY_EVENTS_WHEN_FULL", "block"],
    ["CODY_GATEWAY_LOG_LEVEL", "loud"],
    ["CODY_GATEWAY_LOG_FORMAT", "xml"],
    ["SRC_LOG_LEVEL", "loud"],
    ["REDIS_ENDPOINT", "http://redis"],
    ["REDIS_ENDPOINT", "redis+sentinel://a,b"],
    ["CODY_GATEWAY_CONFIG", "/nowhere.yaml"],
    ["CODY_GATEWAY_OPENAI_ACCESS_TOKEN_FILE", "/nowhere"],
  ])("reports %s=%j as one problem with its name and what was expected", (name, value) => {
    const found = problemsOf({ ...key, [name]: value });

    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(new RegExp(`^${name}: .*expected`));
  });

  it("reports every problem of environment and file at once", () => {
    const found = problemsOf(
      { PORT: "x", CODY_GATEWAY_LOG_LEVEL: "x", REDIS_ENDPOINT: "x", CODY_GATEWAY_CONFIG: "/gw.yaml" },
      { "/gw.yaml": "providers: [ { name: local, kind: x } ]\nextra: 1" },
    );

    expect(found.map((each) => each.split(": expected")[0])).toEqual(
      [
        "PORT",
        "REDIS_ENDPOINT",
        "CODY_GATEWAY_LOG_LEVEL",
        "/gw.yaml:1: providers[0].kind",
        "/gw.yaml:2: extra: unknown key,",
      ].map((each) =>
        each.replace(
          /: unknown key,$/,
          ": unknown key, expected one of providers, models, actors, quotaStoreFailure, perUserLimits, flagging, notifications",
        ),
      ),
    );
  });

  it("does not let any page call where no token is needed", () => {
    const anonymous = { ANTHROPIC_API_KEY: "key", CODY_GATEWAY_ALLOW_ANONYMOUS: "true" };
    expect(problemsOf({ ...anonymous, CODY_GATEWAY_CORS_ORIGINS: "*" })).toEqual([
      expect.stringMatching(/^CODY_GATEWAY_CORS_ORIGINS: expected origins by name with CODY_GATEWAY_ALLOW_ANONYMOUS/),
    ]);
    expect(problemsOf({ ...anonymous, CODY_GATEWAY_CORS_ORIGINS: "https://a.example.com" })).toEqual([]);
  });

  it("never repeats a secret, nor what a file said, in a problem", () => {
    const text = problemsOf(
      {
        CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN: "canary canary",
        CODY_GATEWAY_TOKEN_PEPPER: "canary",
        REDIS_ENDPOINT: "canary@:canary",
        OPENAI_API_KEY_FILE: "/missing",
        CODY_GATEWAY_ANTHROPIC_BASE_URL: "https://canary:canary@host",
        CODY_GATEWAY_CONFIG: "/gw.yaml",
      },
      {
        "/gw.yaml":
          "providers: [ { name: a, kind: openai, keys: [ { ref: canary }, { value: canary } ], apiKey: canary } ]",
      },
    ).join("\n");

    expect(text.split("\n").length).toBeGreaterThan(7);
    expect(text).not.toContain("canary");
    expect(text).not.toContain("secret-laden");
  });
});
