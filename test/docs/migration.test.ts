// What docs/migration.md says of variables and routes, held against the code.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sections } from "../../src/config/settings.js";
import { ignored } from "../../src/config/without-effect.js";
import { loadConfig } from "../../src/config.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { blocksOf, readText, tableBelow } from "./markdown.js";

const text = readText("docs/migration.md");

const gateway = (...names: readonly string[]): string[] => names.map((name) => `CODY_GATEWAY_${name}`);

/** The variables of the existing gateway. */
const existing = [
  "PORT",
  "REDIS_ENDPOINT",
  "SAMS_URL",
  "SAMS_API_URL",
  "SAMS_CLIENT_ID",
  "SAMS_CLIENT_SECRET",
  "EXTERNAL_DENY_LIST",
  "INSECURE_DEV",
  "GOOGLE_CLOUD_PROJECT",
  "SRC_HTTP_CLI_EXTERNAL_TIMEOUT",
  "SRC_HTTP_CLI_EXTERNAL_RETRY_MAX_ATTEMPTS",
  ...gateway(
    "DIAGNOSTICS_SECRET",
    "ENVIRONMENT",
    "DOTCOM_ACCESS_TOKEN",
    "DOTCOM_API_URL",
    "DOTCOM_CLIENT_ID",
    "DOTCOM_ACTOR_COOLDOWN_INTERVAL",
    "DOTCOM_FLAGGED_PROMPT_RECORDER_TTL",
    "DOTCOM_INTERNAL_MODE",
    "DOTCOM_DEV_LICENSES_ONLY",
    "ENTERPRISE_PORTAL_URL",
    "ANTHROPIC_ACCESS_TOKEN",
    "ANTHROPIC_ALLOWED_MODELS",
    "OPENAI_ACCESS_TOKEN",
    "OPENAI_ALLOWED_MODELS",
    "OPENAI_ORG_ID",
    "FIREWORKS_ACCESS_TOKEN",
    "FIREWORKS_ALLOWED_MODELS",
    "FIREWORKS_STARCODER_COMMUNITY_SINGLE_TENANT_PERCENT",
    "FIREWORKS_STARCODER_ENTERPRISE_SINGLE_TENANT_PERCENT",
    "FIREWORKS_LOG_SELF_SERVE_COMPLETION_REQUESTS",
    "FIREWORKS_DISABLE_SINGLE_TENANT",
    "GOOGLE_ACCESS_TOKEN",
    "GOOGLE_ALLOWED_MODELS",
    "ANTHROPIC_MAX_TOKENS_TO_SAMPLE",
    "ANTHROPIC_MAX_TOKENS_TO_SAMPLE_FLAGGING_LIMIT",
    "ANTHROPIC_PROMPT_TOKEN_FLAGGING_LIMIT",
    "ANTHROPIC_PROMPT_TOKEN_BLOCKING_LIMIT",
    "ANTHROPIC_RESPONSE_TOKEN_BLOCKING_LIMIT",
    "ANTHROPIC_ALLOWED_PROMPT_PATTERNS",
    "ANTHROPIC_BLOCKED_PROMPT_PATTERNS",
    "ANTHROPIC_FLAGGED_MODEL_NAMES",
    "ANTHROPIC_REQUEST_BLOCKING_ENABLED",
    "ALLOWED_EMBEDDINGS_MODELS",
    "SOURCEGRAPH_EMBEDDINGS_API_URL",
    "SOURCEGRAPH_EMBEDDINGS_API_TOKEN",
    "ALLOW_ANONYMOUS",
    "SOURCES_SYNC_INTERVAL",
    "SOURCES_CACHE_TTL",
    "BIGQUERY_PROJECT_ID",
    "BIGQUERY_DATASET",
    "BIGQUERY_TABLE",
    "BIGQUERY_EVENT_BUFFER_SIZE",
    "BIGQUERY_EVENT_BUFFER_WORKERS",
    "BUFFERED_LAGGY_EVENT_LOGGING_FUN_TIMES_MODE",
    "TRACE_POLICY",
    "OTEL_GCP_PROJECT_ID",
    "ACTOR_CONCURRENCY_LIMIT_PERCENTAGE",
    "ACTOR_CONCURRENCY_LIMIT_INTERVAL",
    "ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL",
    "AUTO_FLUSH_STREAMING_RESPONSES",
    "IDENTIFIERS_TO_LOG_FOR",
    "ENABLE_ATTRIBUTION_SEARCH",
  ),
];

describe("docs/migration.md", () => {
  const readNames = tableBelow(text, "### Read").flatMap(([names = ""]) => names.split(", "));
  const withoutEffect = tableBelow(text, "### Without effect").map(([names = "", why]) => ({
    names: names.split(", "),
    why,
  }));
  const matches = (name: string, pattern: string): boolean =>
    pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

  it("says of every variable of the existing gateway whether it is read", () => {
    const read = sections.flatMap((section) => section.settings.flatMap(({ name, fallbacks }) => [name, ...fallbacks]));
    const settings = new Set(read);

    expect(readNames.toSorted()).toEqual(existing.filter((name) => settings.has(name)).toSorted());
    for (const name of existing.filter((each) => !settings.has(each))) {
      const found = withoutEffect.filter(({ names }) => names.some((each) => matches(name, each)));
      expect(found, name).toHaveLength(1);
    }
  });

  it("gives the reasons that the gateway gives at start", () => {
    for (const { names, why } of withoutEffect)
      for (const name of names) {
        const found = ignored.find((each) => each.names.some((other) => name === other || matches(name, other)));
        expect([name, why]).toEqual([name, found?.why]);
      }
  });

  it("shows a file that is right", () => {
    const [yaml] = blocksOf(text).filter(({ language }) => language === "yaml");
    const env = { ANTHROPIC_API_KEY: "key", CODY_GATEWAY_CONFIG: "gateway.yaml" };
    expect(loadConfig(env, () => yaml?.text ?? "")).toMatchObject({
      config: { staticActors: [{ actor: { name: "Acme Inc" } }] },
    });
  });

  describe("routes", () => {
    let served: TestGateway;
    beforeAll(async () => {
      // Nobody is there: routes that ask for SAMS's opinion get none.
      const sams = { SAMS_URL: "http://127.0.0.1:1", SAMS_CLIENT_ID: "gateway", SAMS_CLIENT_SECRET: "secret" };
      served = await testGateway({ env: { CODY_GATEWAY_DIAGNOSTICS_SECRET: "secret-of-the-tests", ...sams } });
    });
    afterAll(() => served[Symbol.asyncDispose]());

    it.each(tableBelow(text, "## Routes").map(([route = "", state = ""]) => [route, state] as const))(
      "%s is %s",
      async (route, state) => {
        const [method = "", path = ""] = route.split(" ");
        const headers = { authorization: `Bearer ${token}` };
        const { status } = await fetch(served.url + path, {
          method,
          headers,
          ...(method === "POST" && { body: "{}" }),
        });

        if (state.startsWith("not yet")) expect(status).toBe(404);
        else expect(status).not.toBe(404);
      },
    );
  });
});
