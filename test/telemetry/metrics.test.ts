import { describe, expect, it } from "vitest";
import { UnavailableError } from "../../src/errors.js";
import { createMetrics, type ObservedRequest } from "../../src/telemetry/metrics.js";
import { names } from "../../src/telemetry/names.js";

const metrics = () => createMetrics({ version: "1.2.3", environment: "test", providers: ["anthropic", "openai"] });

function request(over: Partial<ObservedRequest> = {}): ObservedRequest {
  return {
    edge: "sdk",
    feature: "chat_completions",
    provider: "anthropic",
    model: "anthropic/claude",
    outcome: "completed",
    usage: { inputTokens: 10, outputTokens: 20 },
    durationMs: 1_200,
    upstreamMs: 1_198,
    firstByteMs: 300,
    ...over,
  };
}

/** Lines of one metric, without its name. */
function linesOf(text: string, name: string): string[] {
  return text.split("\n").flatMap((line) => (line.startsWith(name) ? [line.slice(name.length)] : []));
}

const tokensOf = (kind: string) => `{provider="anthropic",model="anthropic/claude",kind="${kind}"}`;

describe("createMetrics", () => {
  it("counts requests by how they ended", async () => {
    const counted = metrics();

    counted.requestObserved(request());
    counted.requestObserved(request());
    counted.requestObserved(request({ edge: "rpc", outcome: "refused", reason: "QUOTA_EXCEEDED" }));
    counted.requestRefused("sourcegraph", "TOKEN_INVALID");

    expect(linesOf(await counted.render(), "cody_gateway_requests_total")).toEqual([
      '{surface="sdk",feature="chat_completions",provider="anthropic",outcome="completed",reason=""} 2',
      '{surface="rpc",feature="chat_completions",provider="anthropic",outcome="refused",reason="QUOTA_EXCEEDED"} 1',
      '{surface="sourcegraph",feature="none",provider="none",outcome="refused",reason="TOKEN_INVALID"} 1',
    ]);
  });

  it("measures in seconds, in cumulative buckets", async () => {
    const counted = metrics();

    counted.requestObserved(request({ durationMs: 15, upstreamMs: 14.5 }));
    counted.requestObserved(request({ durationMs: 1_000_000, upstreamMs: 1_000_000 }));

    const text = await counted.render();
    const labels = 'surface="sdk",feature="chat_completions",provider="anthropic"';
    const buckets = linesOf(text, "cody_gateway_request_duration_seconds_bucket");
    expect(buckets[0]).toBe(`{${labels},le="0.01"} 0`);
    expect(buckets[1]).toBe(`{${labels},le="0.02"} 1`);
    expect(buckets.at(-2)).toBe(`{${labels},le="900"} 1`);
    expect(buckets.at(-1)).toBe(`{${labels},le="+Inf"} 2`);
    expect(linesOf(text, "cody_gateway_request_duration_seconds_sum")).toEqual([`{${labels}} 1000.015`]);
    expect(linesOf(text, "cody_gateway_request_duration_seconds_count")).toEqual([`{${labels}} 2`]);
    expect(linesOf(text, "cody_gateway_request_overhead_seconds_bucket")[2]).toBe(`{${labels},le="0.0005"} 2`);
  });

  it("measures no upstream where none was asked", async () => {
    const counted = metrics();

    counted.requestObserved(request({ outcome: "refused", reason: "QUOTA_EXCEEDED", upstreamMs: 0, usage: {} }));

    const text = await counted.render();
    expect(linesOf(text, "cody_gateway_upstream_duration_seconds_count")).toEqual([expect.stringMatching(/ 0$/)]);
    expect(linesOf(text, "cody_gateway_tokens_total")).toEqual([]);
  });

  it("counts tokens by model and kind", async () => {
    const counted = metrics();

    counted.requestObserved(request({ usage: { inputTokens: 10, outputTokens: 0, cachedInputTokens: 4 } }));
    counted.requestObserved(request({ usage: { inputTokens: 5, outputTokens: 2, reasoningTokens: 1 } }));

    expect(linesOf(await counted.render(), "cody_gateway_tokens_total")).toEqual([
      `${tokensOf("input")} 15`,
      `${tokensOf("output")} 2`,
      `${tokensOf("cached_input")} 4`,
      `${tokensOf("cache_write")} 0`,
      `${tokensOf("reasoning")} 1`,
    ]);
  });

  it("moves gauges up and down, and reads those that others keep", async () => {
    const counted = metrics();
    counted.inFlight("rpc", "embeddings", 1);
    counted.inFlight("rpc", "embeddings", 1);
    counted.inFlight("rpc", "embeddings", -1);
    counted.gauge("connections", () => 7);

    const text = await counted.render();

    expect(text).toContain('cody_gateway_requests_in_flight{surface="rpc",feature="embeddings"} 1');
    expect(text).toContain("\ncody_gateway_connections 7\n");
  });

  it("counts decisions, events and what the server does on its own", async () => {
    const counted = metrics();
    counted.quotaDecided("embeddings", "refused", "QUOTA_EXCEEDED");
    counted.eventsHandled("file", "delivered", 100);
    counted.server.refused("host");
    counted.server.cut("write_stall");
    counted.server.failed();

    const text = await counted.render();

    expect(text).toContain(
      'cody_gateway_quota_decisions_total{feature="embeddings",decision="refused",reason="QUOTA_EXCEEDED"} 1',
    );
    expect(text).toContain('cody_gateway_usage_events_total{sink="file",result="delivered"} 100');
    expect(text).toContain('cody_gateway_server_refusals_total{reason="host"} 1');
    expect(text).toContain('cody_gateway_server_cuts_total{reason="write_stall"} 1');
    expect(text).toContain("cody_gateway_server_handler_failures_total 1");
  });

  it("times calls of stores by operation and by how they ended", async () => {
    const counted = metrics();
    const timer = counted.storeTimer("quota", "reserve");
    timer.answered(2, { kind: "admitted" });
    timer.answered(3, { kind: "refused" });
    timer.answered(100, { kind: "late" });
    timer.failed(101, new UnavailableError("QUOTA_STORE_UNAVAILABLE", "quota store is unavailable", 1_000));
    timer.failed(1, new TypeError("a defect"));
    counted.storeTimer("actors", "write").answered(4, undefined);

    const text = await counted.render();

    const sum = "cody_gateway_quota_store_duration_seconds_sum";
    expect(linesOf(text, sum)).toEqual([
      '{operation="reserve",outcome="ok"} 0.005',
      '{operation="reserve",outcome="late"} 0.1',
      '{operation="reserve",outcome="unavailable"} 0.101',
      '{operation="reserve",outcome="failed"} 0.001',
    ]);
    expect(text).toContain('cody_gateway_actor_store_duration_seconds_sum{operation="write",outcome="ok"} 0.004');
  });

  it("counts what is not known as other", async () => {
    const counted = metrics();

    counted.requestObserved(
      request({ edge: "x", feature: "y", provider: "z", outcome: "w", reason: 'a"b\nc', usage: {} }),
    );

    expect(linesOf(await counted.render(), "cody_gateway_requests_total")).toEqual([
      '{surface="other",feature="other",provider="other",outcome="other",reason="other"} 1',
    ]);
  });

  it("stays bounded under random names", async () => {
    const counted = metrics();
    for (let i = 0; i < 20_000; i++) {
      counted.requestObserved(request({ model: `anthropic/${i}`, provider: `p${i}`, feature: `f${i}` }));
      counted.requestObserved(
        request({ model: `anthropic/${i}`, reason: `R_${"ABCDEFGHIJ"[i % 10]}${"_".repeat(i % 30)}` }),
      );
      counted.quotaDecided("embeddings", "refused", `R${"X".repeat(i % 35)}`);
      counted.eventsHandled(`sink ${i}`, "delivered", 1);
    }

    const text = await counted.render();

    for (const { name } of Object.values(names)) expect(linesOf(text, name).length).toBeLessThanOrEqual(2_000);
    const tokens = linesOf(text, "cody_gateway_tokens_total");
    expect(tokens.some((line) => line.startsWith('{provider="anthropic",model="other",kind="input"}'))).toBe(true);
    const delivered = linesOf(text, "cody_gateway_usage_events_total").map((line) => Number(line.split(" ").at(-1)));
    expect(delivered.reduce((sum, each) => sum + each, 0)).toBe(20_000);
  });

  it("cannot be made to write a line of a caller's", async () => {
    const counted = metrics();

    counted.requestObserved(request({ model: 'anthropic/x"} 1\nevil_total{a="\\' }));

    expect(await counted.render()).toContain(String.raw`model="anthropic/x\"} 1\nevil_total{a=\"\\",kind="input"} 10`);
  });

  it("is a text that Prometheus reads, the process's own metrics in it", async () => {
    const counted = metrics();
    counted.requestObserved(request());
    counted.gauge("ledgerBacklog", () => 3);

    const text = await counted.render();

    const line = /^(#.*|[a-zA-Z_][\w:]*(\{([\w]+="(\\.|[^"\\])*",?)*\})? (-?[\d.]+(e[+-]?\d+)?|Nan|NaN|\+Inf))$/;
    expect(text.split("\n").filter((each) => each !== "" && !line.test(each))).toEqual([]);
    expect(text).toContain('cody_gateway_build_info{version="1.2.3",environment="test"} 1');
    expect(text).toMatch(/\nprocess_resident_memory_bytes \d+/);
    expect(text).toMatch(/\nnodejs_eventloop_lag_p99_seconds /);
    expect(text.match(/^# TYPE (\S+)/gm)?.length).toBe(new Set(text.match(/^# TYPE (\S+)/gm)).size);
  });
});

describe("metric names", () => {
  it.each(Object.values(names))("$name follows the conventions", (metric) => {
    expect(metric.name).toMatch(/^cody_gateway_[a-z_]+$/);
    expect(metric.help).toMatch(/^\S.*\.$/);
    if ("buckets" in metric) expect(metric.name).toMatch(/_seconds$/);
    if (metric.name.endsWith("_total")) expect(metric).not.toHaveProperty("buckets");
  });
});
