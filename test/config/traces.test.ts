import { describe, expect, it } from "vitest";
import { type Config, ConfigError, loadConfig, showConfig } from "../../src/config.js";

type Env = Readonly<Record<string, string>>;

const noFile = (): string => {
  throw new Error("no file");
};

function load(env: Env, readFile: (path: string) => string = noFile): Config {
  const loaded = loadConfig({ ANTHROPIC_API_KEY: "key", ...env }, readFile);
  if ("problems" in loaded) throw new ConfigError(loaded.problems);
  return loaded.config;
}

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
const said = (env: Env): string => load({ ...endpoint, ...env }).notices.join("\n");

describe("traces", () => {
  it("are not exported unless it is said where to", () => {
    for (const env of [{}, { CODY_GATEWAY_TRACE_POLICY: "all" }, { OTEL_SERVICE_NAME: "x" }])
      expect(load(env).traces).toBeUndefined();
  });

  it("have what the standard has by default", () => {
    expect(load(endpoint).traces).toEqual({
      policy: "all",
      share: 1,
      url: "http://collector:4318/v1/traces",
      headers: {},
      timeoutMs: 10_000,
      gzip: false,
      resource: { "service.name": "cody-gateway" },
      queue: { delayMs: 5_000, exportMs: 30_000, maxWaiting: 2_048, batchSize: 512 },
    });
  });

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "https://c/otlp/" }, "https://c/otlp/v1/traces"],
    [{ ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://other:4318/own" }, "http://other:4318/own"],
    [{ OTEL_TRACES_EXPORTER: "otlp" }, "http://localhost:4318/v1/traces"],
  ])("go, with %o, to %s", (env, url) => {
    expect(load(env as Env).traces?.url).toBe(url);
  });

  it("take what is theirs before what is every signal's", () => {
    const traces = load({
      ...endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20a,x-scope=b",
      OTEL_EXPORTER_OTLP_TIMEOUT: "3000",
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "2000",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    }).traces;
    expect(traces).toMatchObject({
      headers: { authorization: "Bearer a", "x-scope": "b" },
      timeoutMs: 2_000,
      gzip: true,
    });
  });

  it.each([
    ["always_off", "0.5", 0],
    ["parentbased_always_off", undefined, 0],
    ["traceidratio", "0.25", 0.25],
    ["parentbased_traceidratio", "1e-3", 0.001],
    ["traceidratio", undefined, 1],
    ["always_on", "0.5", 1],
  ])("of the sampler %s with %s are a share of %d", (sampler, argument, share) => {
    const env = { OTEL_TRACES_SAMPLER: sampler, ...(argument && { OTEL_TRACES_SAMPLER_ARG: argument }) };
    expect(load({ ...endpoint, ...env }).traces?.share).toBe(share);
  });

  it("name the service by its own variable, else by the attributes", () => {
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: "service.name=a,team=llm%20ops" };
    expect(load({ ...endpoint, ...attributes }).traces?.resource).toEqual({ "service.name": "a", team: "llm ops" });
    const named = { ...endpoint, ...attributes, OTEL_SERVICE_NAME: "b" };
    expect(load(named).traces?.resource).toEqual({ "service.name": "b", team: "llm ops" });
  });

  it.each([
    ["OTEL_BSP_MAX_QUEUE_SIZE", "many", "expected a whole number from 1"],
    ["OTEL_TRACES_SAMPLER", "jaeger_remote", "expected parentbased_always_on or"],
    ["OTEL_TRACES_SAMPLER_ARG", "2", "expected a number from 0 to 1"],
    ["OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "expected none or gzip"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "canary", "expected headers as name=value"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "host=canary", "expected headers as name=value"],
    ["OTEL_RESOURCE_ATTRIBUTES", "a=%zz", "expected attributes as name=value"],
  ])("say that %s=%s is passed over", (name, text, expected) => {
    const { traces, notices } = load({ ...endpoint, [name]: text });
    expect(traces).toEqual(load(endpoint).traces);
    expect(notices.join("\n")).toContain(expected);
    expect(notices.join("\n")).not.toContain("canary");
  });

  it("are not exported in another way than was asked for, and that is said", () => {
    for (const env of [
      { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      { OTEL_TRACES_EXPORTER: "zipkin" },
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" },
    ]) {
      expect(load({ ...endpoint, ...(env as Env) }).traces).toBeUndefined();
    }
    expect(said({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" })).toContain("expected http/protobuf; no traces are exported");
    expect(said({ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" })).toContain("expected an http:// or https:// URL");
  });

  it("say which of the standard's variables have no effect", () => {
    expect(said({ OTEL_METRICS_EXPORTER: "otlp" })).toContain("OTEL_METRICS_EXPORTER: no effect, of OpenTelemetry");
    expect(said({ OTEL_PROPAGATORS: "b3" })).toContain("OTEL_PROPAGATORS: no effect, a caller's trace is read from");
    expect(said({})).not.toContain("OTEL");
  });

  it("refuse a policy that there is not", () => {
    const loaded = loadConfig({ ANTHROPIC_API_KEY: "key", CODY_GATEWAY_TRACE_POLICY: "some" }, noFile);
    expect(loaded).toMatchObject({ problems: [{ source: "CODY_GATEWAY_TRACE_POLICY" }] });
  });

  it("say which secret cannot be read, beside everything else", () => {
    const env = {
      ANTHROPIC_API_KEY: "key",
      CODY_GATEWAY_TRACE_POLICY: "selective",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT_FILE: "/nowhere",
      OTEL_EXPORTER_OTLP_HEADERS_FILE: "/nowhere",
      PORT: "x",
    };
    const loaded = loadConfig(env, noFile);
    const problems = "problems" in loaded ? loaded.problems.map(({ source }) => source) : [];
    expect(problems.toSorted()).toEqual([
      "OTEL_EXPORTER_OTLP_HEADERS_FILE",
      "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT_FILE",
      "PORT",
    ]);
  });

  it("show no secret, and read one from a file", () => {
    const env = {
      ANTHROPIC_API_KEY: "key",
      OTEL_EXPORTER_OTLP_ENDPOINT: "https://user:canary@collector:4318/canary",
      OTEL_EXPORTER_OTLP_HEADERS_FILE: "/run/headers",
    };
    const readFile = (): string => "authorization=canary\n";
    const config = load(env, readFile);
    expect(config.traces?.headers).toEqual({ authorization: "canary" });
    const shown = JSON.stringify(showConfig(config, env, readFile));
    expect(shown).toContain("https://collector:4318/********");
    expect(shown).not.toContain("canary");
  });
});
