import { describe, expect, it } from "vitest";
import { mergeMetrics } from "../../src/telemetry/merge.js";

/** Lines of one metric in the merged text of two processes that have it with these values. */
function merged(metric: string, first: number, second: number): string | undefined {
  const text = (value: number): string => `# HELP ${metric} What it is.\n# TYPE ${metric} gauge\n${metric} ${value}\n`;
  return mergeMetrics([text(first), text(second)])
    .split("\n")
    .find((line) => line.startsWith(`${metric} `));
}

describe("mergeMetrics", () => {
  it.each([
    ["cody_gateway_heap_limit_bytes", 5],
    ["nodejs_heap_size_used_bytes", 5],
    ["cody_gateway_heap_used_ratio", 3],
    ["cody_gateway_heap_growth_ratio", 3],
    ["nodejs_eventloop_lag_p99_seconds", 3],
    ["cody_gateway_requests_total", 5],
    ["cody_gateway_quota_store_up", 2],
    ["cody_gateway_actors_known", 3],
  ])("makes of %s with 2 and 3 one of %i", (metric, value) => {
    expect(merged(metric, 2, 3)).toBe(`${metric} ${value}`);
  });

  it("keeps series apart, and says once what they are", () => {
    const text = (status: number): string =>
      `# HELP a_total What it is.\n# TYPE a_total counter\na_total{status="${status}"} 1\na_total{status="none"} 1\n`;
    expect(mergeMetrics([text(200), text(429)])).toBe(
      [
        "# HELP a_total What it is.",
        "# TYPE a_total counter",
        'a_total{status="200"} 1',
        'a_total{status="none"} 2',
        'a_total{status="429"} 1',
        "",
      ].join("\n"),
    );
  });
});
