// wire.md 10: the environment of the existing gateway, and nothing else, starts this one. Each of its variables is honoured,
// or answered with a line that says what is there instead.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/config.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { userToken } from "../../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { freePort } from "../../helpers/free-port.js";
import { gatewayFile } from "../../helpers/process-files.js";
import { type RedisServer, startRedis, until } from "../../helpers/redis.js";

/** What section 10 lists, with a value of its form, and another one. */
const variables: Readonly<Record<string, readonly [value: string, other: string]>> = {
  PORT: ["9992", "9993"],
  REDIS_ENDPOINT: ["127.0.0.1:6379", "127.0.0.1:6380"],
  CODY_GATEWAY_DIAGNOSTICS_SECRET: ["secret-of-the-diagnostics", "another-secret"],
  CODY_GATEWAY_ENVIRONMENT: ["prod", "dev"],
  CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: ["sgp_x", "sgp_y"],
  CODY_GATEWAY_DOTCOM_API_URL: ["https://sourcegraph.com/.api/graphql", "https://sourcegraph.test/.api/graphql"],
  CODY_GATEWAY_DOTCOM_CLIENT_ID: ["cody-gateway", "other"],
  CODY_GATEWAY_DOTCOM_ACTOR_COOLDOWN_INTERVAL: ["300s", "60s"],
  CODY_GATEWAY_DOTCOM_FLAGGED_PROMPT_RECORDER_TTL: ["1h", "2h"],
  CODY_GATEWAY_DOTCOM_INTERNAL_MODE: ["false", "true"],
  CODY_GATEWAY_DOTCOM_DEV_LICENSES_ONLY: ["", "true"],
  CODY_GATEWAY_ENTERPRISE_PORTAL_URL: ["https://portal.test", "https://other.test"],
  SAMS_URL: ["https://accounts.sourcegraph.com", "https://accounts.test"],
  SAMS_API_URL: ["", "https://api.accounts.test"],
  SAMS_CLIENT_ID: ["sams_cid_x", "sams_cid_y"],
  SAMS_CLIENT_SECRET: ["sams_cs_x", "sams_cs_y"],
  CODY_GATEWAY_ANTHROPIC_ACCESS_TOKEN: ["sk-ant-x", "sk-ant-y"],
  CODY_GATEWAY_ANTHROPIC_ALLOWED_MODELS: ["claude-2.0,claude-3-haiku-20240307", "claude-2.0"],
  CODY_GATEWAY_OPENAI_ALLOWED_MODELS: ["gpt-4o", "gpt-4"],
  CODY_GATEWAY_FIREWORKS_ALLOWED_MODELS: ["starcoder", "starcoder2-7b"],
  CODY_GATEWAY_GOOGLE_ALLOWED_MODELS: ["gemini-1.5-pro", "gemini-1.5-flash"],
  CODY_GATEWAY_OPENAI_ACCESS_TOKEN: ["sk-x", "sk-y"],
  CODY_GATEWAY_OPENAI_ORG_ID: ["org-x", "org-y"],
  CODY_GATEWAY_FIREWORKS_ACCESS_TOKEN: ["fw-x", "fw-y"],
  CODY_GATEWAY_FIREWORKS_STARCODER_COMMUNITY_SINGLE_TENANT_PERCENT: ["0", "10"],
  CODY_GATEWAY_FIREWORKS_STARCODER_ENTERPRISE_SINGLE_TENANT_PERCENT: ["100", "90"],
  CODY_GATEWAY_FIREWORKS_LOG_SELF_SERVE_COMPLETION_REQUESTS: ["false", "true"],
  CODY_GATEWAY_FIREWORKS_DISABLE_SINGLE_TENANT: ["false", "true"],
  CODY_GATEWAY_GOOGLE_ACCESS_TOKEN: ["AIza-x", "AIza-y"],
  CODY_GATEWAY_ANTHROPIC_MAX_TOKENS_TO_SAMPLE: ["4000", "8000"],
  CODY_GATEWAY_ANTHROPIC_MAX_TOKENS_TO_SAMPLE_FLAGGING_LIMIT: ["4000", "3000"],
  CODY_GATEWAY_ANTHROPIC_PROMPT_TOKEN_FLAGGING_LIMIT: ["18000", "17000"],
  CODY_GATEWAY_ANTHROPIC_PROMPT_TOKEN_BLOCKING_LIMIT: ["20000", "19000"],
  CODY_GATEWAY_ANTHROPIC_RESPONSE_TOKEN_BLOCKING_LIMIT: ["4000", "3000"],
  CODY_GATEWAY_ANTHROPIC_ALLOWED_PROMPT_PATTERNS: ["you are cody", "other"],
  CODY_GATEWAY_ANTHROPIC_BLOCKED_PROMPT_PATTERNS: ["bad words", "worse words"],
  CODY_GATEWAY_ANTHROPIC_FLAGGED_MODEL_NAMES: ["claude-2.0", "claude-2.1"],
  CODY_GATEWAY_ANTHROPIC_REQUEST_BLOCKING_ENABLED: ["true", "false"],
  CODY_GATEWAY_ALLOWED_EMBEDDINGS_MODELS: ["openai/text-embedding-ada-002", "openai/text-embedding-3-small"],
  CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_URL: ["https://embeddings.test/v2/infer", "https://other.test/v2/infer"],
  CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN: ["smega-x", "smega-y"],
  CODY_GATEWAY_ALLOW_ANONYMOUS: ["false", "true"],
  CODY_GATEWAY_SOURCES_SYNC_INTERVAL: ["2m", "3m"],
  CODY_GATEWAY_SOURCES_CACHE_TTL: ["24h", "12h"],
  CODY_GATEWAY_BIGQUERY_PROJECT_ID: ["", "project"],
  CODY_GATEWAY_BIGQUERY_DATASET: ["cody_gateway", "other"],
  CODY_GATEWAY_BIGQUERY_TABLE: ["events", "other"],
  CODY_GATEWAY_BIGQUERY_EVENT_BUFFER_SIZE: ["100", "0"],
  CODY_GATEWAY_BIGQUERY_EVENT_BUFFER_WORKERS: ["0", "2"],
  GOOGLE_CLOUD_PROJECT: ["", "project"],
  CODY_GATEWAY_BUFFERED_LAGGY_EVENT_LOGGING_FUN_TIMES_MODE: ["", "true"],
  CODY_GATEWAY_TRACE_POLICY: ["all", "selective"],
  CODY_GATEWAY_OTEL_GCP_PROJECT_ID: ["", "project"],
  CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE: ["50", "20"],
  CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_INTERVAL: ["10s", "20s"],
  CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL: ["https://hooks.slack.test/x", "https://hooks.slack.test/y"],
  CODY_GATEWAY_AUTO_FLUSH_STREAMING_RESPONSES: ["true", "false"],
  CODY_GATEWAY_IDENTIFIERS_TO_LOG_FOR: ["", "1234"],
  CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH: ["true", "false"],
  SRC_HTTP_CLI_EXTERNAL_TIMEOUT: ["5m", "1m"],
  SRC_HTTP_CLI_EXTERNAL_RETRY_DELAY_BASE: ["200ms", "1s"],
  SRC_HTTP_CLI_EXTERNAL_RETRY_DELAY_MAX: ["3s", "4s"],
  SRC_HTTP_CLI_EXTERNAL_RETRY_MAX_ATTEMPTS: ["20", "3"],
  SRC_HTTP_CLI_EXTERNAL_RETRY_AFTER_MAX_DURATION: ["3s", "4s"],
  EXTERNAL_DENY_LIST: ["", "10.0.0.0/8"],
  INSECURE_DEV: ["", "true"],
  SRC_LOG_LEVEL: ["info", "warn"],
  SRC_LOG_FORMAT: ["json", "pretty"],
};
const names = Object.keys(variables);
const environment = Object.fromEntries(names.map((name) => [name, variables[name]?.[0] ?? ""]));

/** The configuration as text, or why there is none. */
function read(env: Readonly<Record<string, string>>): { text: string; notices: readonly string[] } {
  const loaded = loadConfig(env, () => "");
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const { notices, ...config } = loaded.config;
  return { text: inspect(config, { depth: null, maxArrayLength: null, maxStringLength: null }), notices };
}

describe("10 configuration", () => {
  it.each(names.filter((name) => name !== "INSECURE_DEV"))(
    "10 %s is honoured, or said to have no effect and why",
    (name) => {
      const { [name]: _, ...others } = environment;
      const value = variables[name]?.[1] ?? "";
      // Set alone, so that what goes before it does not hide it.
      const hidden = name === "CODY_GATEWAY_DOTCOM_INTERNAL_MODE" ? ["CODY_GATEWAY_DOTCOM_DEV_LICENSES_ONLY"] : [];
      const shows = name === "CODY_GATEWAY_DOTCOM_DEV_LICENSES_ONLY" ? ["CODY_GATEWAY_DOTCOM_INTERNAL_MODE"] : [];
      const without = { ...others, ...Object.fromEntries([...hidden, ...shows].map((each) => [each, ""])) };
      const before = read({ ...without, [name]: variables[name]?.[0] ?? "" });
      const after = read({ ...without, [name]: value });

      const told = after.notices.filter((notice) => new RegExp(`\\b${name}\\b`).test(notice));
      const honoured = before.text !== after.text;
      expect(honoured || told.length > 0, "neither honoured nor answered").toBe(true);
      for (const notice of told) expect(notice).not.toMatch(/misspelt/);
      if (!honoured) expect(told).toEqual([expect.stringMatching(/: no effect, \S.{20,}$/)]);
    },
  );

  it("10 all of them together are a configuration without a problem", () => {
    expect(() => read(environment)).not.toThrow();
  });

  it("10 INSECURE_DEV is honoured: back ends on other machines may then be called without TLS", () => {
    const clear = { ...environment, CODY_GATEWAY_ENTERPRISE_PORTAL_URL: "http://portal.test" };
    expect(() => read(clear)).toThrow(/INSECURE_DEV/);
    expect(() => read({ ...clear, INSECURE_DEV: "true" })).not.toThrow();
  });

  it.each([
    ["REDIS_ENDPOINT", "not a host", /expected/],
    ["PORT", "http", /expected/],
    ["CODY_GATEWAY_SOURCES_SYNC_INTERVAL", "soon", /expected/],
    ["CODY_GATEWAY_ALLOW_ANONYMOUS", "perhaps", /expected/],
    ["CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE", "-5", /expected/],
  ])("10 %s=%s is refused with what was expected", (name, value, message) => {
    expect(() => read({ ...environment, [name]: value })).toThrow(message);
  });
});

describe("10 the existing gateway's environment alone", () => {
  let ends: DemoBackEnds;
  let redis: RedisServer;
  let child: ChildProcess;
  let url: string;
  let log = "";

  beforeAll(async () => {
    [ends, redis] = await Promise.all([startDemoBackEnds(), startRedis("--rdbcompression", "no")]);
    ends.portal.set({ id: demoUuid("instance") });
    ends.dotcom.set({ id: 42, username: "ada" });
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const { CODY_GATEWAY_ENTERPRISE_PORTAL_URL = "" } = ends.env;
    const env = { ...environment, ...ends.env, PORT: String(port), REDIS_ENDPOINT: redis.endpoint };
    expect(CODY_GATEWAY_ENTERPRISE_PORTAL_URL).toMatch(/^http:/);
    expect(Object.keys(env).filter((name) => !names.includes(name))).toEqual([]);
    child = spawn(process.execPath, [gatewayFile, "serve"], { env, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.on("data", (data: Buffer) => (log += data.toString()));
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended: ${log}`);
      return fetch(`${url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  });
  afterAll(async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await Promise.all([ends.close(), redis[Symbol.asyncDispose]()]);
  });

  const get = async (path: string, token: string, method = "GET") => {
    const answer = await fetch(url + path, { method, headers: { authorization: `Bearer ${token}` } });
    return [answer.status, await answer.text()] as const;
  };

  /** The first answer that is not that Redis is away: a busy machine may keep it from answering in time. */
  const got = async (path: string, token: string) => {
    for (;;) {
      const answer = await get(path, token);
      if (answer[0] !== 503) return answer;
    }
  };

  it("10 serves subscriptions and users, with limits in Redis", async () => {
    const [status, body] = await got("/v1/limits", demoToken(demoUuid("instance")));
    expect([status, JSON.parse(body)]).toMatchObject([200, { chat_completions: { limit: 500 } }]);
    expect((await got("/v1/limits", userToken(42)))[0]).toBe(200);
    expect((await got("/v1/limits", "nobody"))[0]).toBe(401);
    await until(async () => (await get("/-/healthz", "secret-of-the-diagnostics")).join() === "200,healthz: ok");
    expect(await redis.client.dbsize()).toBeGreaterThan(0);
  });

  it("15.3, 15.6, 15.25 keeps no token in Redis, and never asks for its KEYS", async () => {
    const commands = await redis.client.info("commandstats");
    expect(commands).toContain("cmdstat_evalsha");
    expect(commands).not.toContain("cmdstat_keys");
    const kept: string[] = [];
    for (let cursor = "0"; ; ) {
      const [next, keys] = await redis.client.scan(cursor, "COUNT", 1000);
      for (const key of keys) kept.push(key, (await redis.client.dumpBuffer(key))?.toString("latin1") ?? "");
      if (next === "0") break;
      cursor = next;
    }
    const all = kept.join("\n");
    expect(all).toContain(demoUuid("instance"));
    for (const token of [demoToken(demoUuid("instance")), userToken(42)]) expect(all).not.toContain(token.slice(4));
  });

  it("10 allows the models that it says, and has a route for each provider", async () => {
    const ask = async (provider: string, body: object) => {
      const answer = await fetch(`${url}/v1/completions/${provider}`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${demoToken(demoUuid("instance"))}`,
          "x-sourcegraph-feature": "chat_completions",
        },
        body: JSON.stringify({ model: "not-allowed", messages: [], contents: [], prompt: "", max_tokens: 1, ...body }),
      });
      return (await answer.json()) as { error: string };
    };
    expect((await ask("openai", {})).error).toContain("allowed: [openai/gpt-4o]");
    expect((await ask("anthropic-messages", {})).error).toContain(
      "allowed: [anthropic/claude-2.0, anthropic/claude-3-haiku-20240307]",
    );
    expect((await ask("google", {})).error).toContain("allowed: [google/gemini-1.5-pro]");
    expect((await ask("fireworks", {})).error).toContain("allowed: [fireworks/starcoder]");
  });

  it("1.10 /-/healthz is 500 and says what is missing while Redis is away, and ok again after", async () => {
    const health = () => get("/-/healthz", "secret-of-the-diagnostics");
    redis.freeze();
    try {
      await until(async () => (await health())[0] === 500);
      expect((await health())[1]).toMatch(/^healthz: \S/);
    } finally {
      redis.thaw();
    }
    await until(async () => (await health())[0] === 200);
  });

  it("10 says at start what has no effect, and why", () => {
    const notices = log.split("\n").filter((line) => line.includes('"msg":"configuration"'));
    expect(notices.join("\n")).toMatch(/CODY_GATEWAY_AUTO_FLUSH_STREAMING_RESPONSES: no effect, streams are always/);
    expect(notices.join("\n")).not.toMatch(/misspelt/);
    for (const line of notices) expect(JSON.parse(line)).toMatchObject({ level: "warn", environment: "prod" });
  });
});
