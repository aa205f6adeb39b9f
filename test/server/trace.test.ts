import { describe, expect, it } from "vitest";
import { traceOf } from "../../src/server/trace.js";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const parentId = "b7ad6b7169203331";

describe("the trace of a request", () => {
  it.each([
    ["a traceparent of today", `00-${traceId}-${parentId}-01`],
    ["one that is not sampled", `00-${traceId}-${parentId}-00`],
    ["one of a later version", `01-${traceId}-${parentId}-01`],
    ["one of a later version that says more", `fe-${traceId}-${parentId}-01-what-else`],
  ])("is that of %s, and the span is new", (_name, traceparent) => {
    const trace = traceOf(traceparent);
    expect(trace.traceId).toBe(traceId);
    expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(trace.spanId).not.toBe(parentId);
  });

  it.each([
    ["no traceparent", undefined],
    ["an empty one", ""],
    ["two of them", [`00-${traceId}-${parentId}-01`, `00-${traceId}-${parentId}-01`]],
    ["two of them in one line", `00-${traceId}-${parentId}-01, 00-${traceId}-${parentId}-01`],
    ["capitals", `00-${traceId.toUpperCase()}-${parentId}-01`],
    ["a trace of zeros", `00-${"0".repeat(32)}-${parentId}-01`],
    ["a parent of zeros", `00-${traceId}-${"0".repeat(16)}-01`],
    ["the version that is none", `ff-${traceId}-${parentId}-01`],
    ["more than version 00 has", `00-${traceId}-${parentId}-01-more`],
    ["more without a dash", `01-${traceId}-${parentId}-01more`],
    ["a short trace", `00-${traceId.slice(1)}-${parentId}-01`],
    ["a line break", `00-${traceId}-${parentId}-01\n`],
  ])("is a new one with %s", (_name, traceparent) => {
    const trace = traceOf(traceparent);
    expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(trace.traceId).not.toBe(traceId);
  });

  it("is another for each request", () => {
    const traces = Array.from({ length: 1000 }, () => traceOf(undefined));
    expect(new Set(traces.map((trace) => trace.traceId)).size).toBe(1000);
    expect(new Set(traces.map((trace) => trace.spanId)).size).toBe(1000);
  });
});
