import { describe, expect, it } from "vitest";
import { type Config, formatProblem, loadConfig } from "../../src/config.js";
import { bigQuerySchema } from "../../src/usage/sinks/bigquery-table.js";
import { fakeBigQuery } from "../helpers/bigquery.js";

type Env = Readonly<Record<string, string>>;
const key = { ANTHROPIC_API_KEY: "key" };
const used = { ...key, CODY_GATEWAY_EVENTS_SINKS: "bigquery", CODY_GATEWAY_BIGQUERY_PROJECT_ID: "my-project" };

/** `text` is what is in every file but those that are not there. */
const load = (env: Env, text = "") =>
  loadConfig(env, (path) => {
    if (path.startsWith("/nowhere")) throw Object.assign(new Error(path), { code: "ENOENT" });
    return text;
  });

function configOf(env: Env, text?: string): Config {
  const loaded = load(env, text);
  if ("problems" in loaded) throw new Error(loaded.problems.map(formatProblem).join("\n"));
  return loaded.config;
}

function problemsOf(env: Env, text?: string): string[] {
  const loaded = load(env, text);
  return "problems" in loaded ? loaded.problems.map(formatProblem) : [];
}

const notices = (env: Env, text?: string) =>
  configOf(env, text).notices.filter((notice) => /BIGQUERY|BigQuery/.test(notice));

describe("loadConfig, BigQuery", () => {
  it("has the existing gateway's table, and asks the machine who it is", () => {
    expect(configOf(used).events.bigQuery).toEqual({
      project: "my-project",
      dataset: "cody_gateway",
      table: "events",
      baseUrl: "https://bigquery.googleapis.com",
      credentials: { kind: "metadata", host: "metadata.google.internal" },
      workers: 1,
    });
    expect(notices(used)).toEqual([]);
  });

  it("reads the other variables of the existing gateway", () => {
    const env = {
      ...key,
      CODY_GATEWAY_EVENTS_SINKS: "stdout,bigquery",
      GOOGLE_CLOUD_PROJECT: "its-project",
      CODY_GATEWAY_BIGQUERY_DATASET: "usage",
      CODY_GATEWAY_BIGQUERY_TABLE: "rows-1",
      CODY_GATEWAY_BIGQUERY_EVENT_BUFFER_WORKERS: "20",
      GCE_METADATA_HOST: "127.0.0.1:8080",
    };
    expect(configOf(env)).toMatchObject({
      eventSinks: [{ kind: "stdout" }, { kind: "bigquery" }],
      events: {
        bigQuery: {
          project: "its-project",
          dataset: "usage",
          table: "rows-1",
          workers: 4,
          credentials: { kind: "metadata", host: "127.0.0.1:8080" },
        },
      },
    });
    expect(configOf({ ...env, CODY_GATEWAY_BIGQUERY_PROJECT_ID: "own" }).events.bigQuery?.project).toBe("own");
  });

  it.each(["CODY_GATEWAY_BIGQUERY_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"])(
    "is where events go when %s is set and no sink is, and says so",
    (name) => {
      const env = { ...key, [name]: "my-project" };
      expect(configOf(env).eventSinks).toEqual([{ kind: "bigquery" }]);
      expect(notices(env)).toEqual([expect.stringContaining("go to BigQuery (my-project.cody_gateway.events)")]);
      const said = { ...env, CODY_GATEWAY_EVENTS_SINKS: "stdout" };
      expect(configOf(said)).toMatchObject({ eventSinks: [{ kind: "stdout" }], events: { bigQuery: undefined } });
      expect(notices(said)).toEqual([]);
    },
  );

  it("is not where they go without a project, and says what has no effect then", () => {
    expect(configOf(key).eventSinks).toEqual([{ kind: "stdout" }]);
    expect(notices({ ...key, CODY_GATEWAY_BIGQUERY_DATASET: "a", CODY_GATEWAY_BIGQUERY_TABLE: "b" })).toEqual([
      "CODY_GATEWAY_BIGQUERY_DATASET, CODY_GATEWAY_BIGQUERY_TABLE: no effect, usage events do not go to BigQuery",
    ]);
  });

  it("calls an emulator without a token, unless it is said who the gateway is", async () => {
    await using fake = await fakeBigQuery(bigQuerySchema);
    const env = { ...used, BIGQUERY_EMULATOR_HOST: "127.0.0.1:9050" };
    expect(configOf(env).events.bigQuery).toMatchObject({ baseUrl: "http://127.0.0.1:9050", credentials: undefined });
    const url = "https://bigquery.example.com";
    expect(configOf({ ...used, BIGQUERY_EMULATOR_HOST: `${url}/` }).events.bigQuery?.baseUrl).toBe(url);
    const named = { ...env, GOOGLE_APPLICATION_CREDENTIALS: "/key.json" };
    expect(configOf(named, fake.keyFile).events.bigQuery?.credentials).toMatchObject({ kind: "service-account" });
    expect(configOf(named, fake.userFile).events.bigQuery?.credentials).toMatchObject({ kind: "user" });
    expect(configOf({ ...env, GCE_METADATA_HOST: "host:1" }).events.bigQuery?.credentials).toEqual({
      kind: "metadata",
      host: "host:1",
    });
  });

  it("is wrong without a project", () => {
    expect(problemsOf({ ...key, CODY_GATEWAY_EVENTS_SINKS: "bigquery" })).toEqual([
      "CODY_GATEWAY_BIGQUERY_PROJECT_ID: expected a project of Google Cloud for the sink bigquery (or in GOOGLE_CLOUD_PROJECT)",
    ]);
  });

  it.each([
    ["CODY_GATEWAY_BIGQUERY_PROJECT_ID", "my project"],
    ["GOOGLE_CLOUD_PROJECT", "a/b"],
    ["CODY_GATEWAY_BIGQUERY_DATASET", "cody-gateway"],
    ["CODY_GATEWAY_BIGQUERY_TABLE", "events$20261126"],
    ["CODY_GATEWAY_BIGQUERY_EVENT_BUFFER_WORKERS", "-1"],
    ["GCE_METADATA_HOST", "http://host/"],
    ["BIGQUERY_EMULATOR_HOST", "ftp://host"],
    ["BIGQUERY_EMULATOR_HOST", "http://user:pass@host"],
    ["CODY_GATEWAY_EVENTS_SINKS", "bigquery,bigquery"],
    ["CODY_GATEWAY_EVENTS_SINKS", "bigquery:project"],
  ])("reports %s=%j with what was expected", (name, value) => {
    const { CODY_GATEWAY_BIGQUERY_PROJECT_ID: project, ...others } = used;
    const env = { ...others, ...(name !== "GOOGLE_CLOUD_PROJECT" && { CODY_GATEWAY_BIGQUERY_PROJECT_ID: project }) };
    expect(problemsOf({ ...env, [name]: value }).join("\n")).toMatch(new RegExp(`^${name}: expected .`));
  });

  const good = { client_email: "a@b", private_key: "canary", token_uri: "https://oauth2.googleapis.com/token" };
  const user = { client_id: "a", client_secret: "canary", refresh_token: "canary" };
  it.each([
    ["canary", "a key file of Google, which is JSON"],
    ["[]", "a key file of the type service_account or authorized_user"],
    [
      JSON.stringify({ type: "external_account", canary: 1 }),
      "a key file of the type service_account or authorized_user",
    ],
    [JSON.stringify({ type: "service_account", client_email: "canary" }), "client_email and private_key in it"],
    [JSON.stringify({ type: "service_account", ...good }), "a private key in PEM as private_key in it"],
    [JSON.stringify({ type: "service_account", ...good, token_uri: "canary" }), "a URL as token_uri in it"],
    [
      JSON.stringify({ type: "authorized_user", client_id: "canary" }),
      "client_id, client_secret and refresh_token in it",
    ],
    [
      JSON.stringify({ type: "authorized_user", ...user, token_uri: "http://canary.example.com" }),
      "an https:// URL, or one of this machine; INSECURE_DEV=true allows others as token_uri in it",
    ],
  ])("reports a key file that is not right, and nothing of what is in it (%#)", (text, expected) => {
    expect(problemsOf({ ...used, GOOGLE_APPLICATION_CREDENTIALS: "/key.json" }, text)).toEqual([
      `GOOGLE_APPLICATION_CREDENTIALS: expected ${expected}`,
    ]);
  });

  it("reports a key file that is not there, and reads none that is not used", () => {
    const env = { ...used, GOOGLE_APPLICATION_CREDENTIALS: "/nowhere.json" };
    expect(problemsOf(env)).toEqual([
      "GOOGLE_APPLICATION_CREDENTIALS: expected a file that can be read, /nowhere.json is not (ENOENT)",
    ]);
    expect(problemsOf({ ...env, CODY_GATEWAY_EVENTS_SINKS: "stdout" })).toEqual([]);
  });

  it("sends no token in clear to another machine, unless that is allowed", async () => {
    await using fake = await fakeBigQuery(bigQuerySchema);
    const env = { ...used, GOOGLE_APPLICATION_CREDENTIALS: "/key.json", BIGQUERY_EMULATOR_HOST: "emulator:9050" };
    expect(problemsOf(env, fake.keyFile)).toEqual([
      expect.stringMatching(/^BIGQUERY_EMULATOR_HOST: expected an https:\/\/ URL, or one of this machine/),
    ]);
    expect(problemsOf({ ...env, INSECURE_DEV: "true" }, fake.keyFile)).toEqual([]);
  });
});
