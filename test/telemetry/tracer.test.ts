import { describe, expect, it } from "vitest";
import { encodeExport } from "../../src/telemetry/otlp.js";
import { createTracer, type Tracer, type TracerOptions } from "../../src/telemetry/tracer.js";
import { type ReadSpan, readExport } from "../helpers/otlp.js";

const traceId = "0af7651916cd43dd8448eb211c80319c";

function tracerWith(options: Partial<TracerOptions> = {}): { tracer: Tracer; told: () => readonly ReadSpan[] } {
  const spans: Uint8Array[] = [];
  const sender = { resource: {}, scope: { name: "test", version: "1" } };
  return {
    tracer: createTracer({ export: (span) => void spans.push(span) }, { policy: "all", share: 1, ...options }),
    told: () => readExport(encodeExport(sender, spans)).spans,
  };
}

/** A request that has come in, the `number`th of 65,536 whose span ids are spread evenly. */
const request = (number: number, asked = false) => ({
  traceId,
  spanId: `${number.toString(16).padStart(4, "0")}b6b7a5c1d2e3`,
  callerSpanId: undefined,
  asked,
});

describe("which requests are traced", () => {
  it("is a share of them, whatever trace their callers name", () => {
    const { tracer } = tracerWith({ share: 0.25 });
    const traced = Array.from({ length: 65_536 }, (_, at) => tracer.request(request(at))).filter(Boolean);
    expect(traced).toHaveLength(16_384);
  });

  it("is those that ask for it, where they may", () => {
    const { tracer } = tracerWith({ policy: "selective" });
    expect(tracer.request(request(1))).toBeUndefined();
    expect(tracer.request(request(1, true))).toBeDefined();
    expect(tracer.work("source.sync", "client")).toBeUndefined();
    const few = tracerWith({ policy: "selective", share: 0.25 }).tracer;
    expect(few.request(request(65_535, true))).toBeUndefined();
  });
});

describe("a span", () => {
  const begun = (options: Partial<TracerOptions> = {}) => {
    const { tracer, told } = tracerWith(options);
    const span = tracer.request(request(1));
    if (!span) throw new Error("not traced");
    return { span, told };
  };

  it("is told once, with what was said before it ended", () => {
    const { span, told } = begun();
    span.rename("first");
    span.set({ a: 1, b: undefined });
    span.rename("last");
    span.set({ a: 2 });
    span.end();
    span.end();
    span.set({ late: true });
    expect(told()).toMatchObject([{ name: "last", attributes: { a: 2 } }]);
    expect(told()[0]?.attributes).not.toHaveProperty("late");
  });

  it("is told when nobody retains it any more, with the time of its end", async () => {
    const { span, told } = begun();
    span.retain();
    span.end();
    const end = performance.now();
    span.set({ cost: 3 });
    const part = span.child("settle", "client");
    while (performance.now() < end + 20) await new Promise((resolve) => setTimeout(resolve, 1));
    part.end();
    span.release();
    const [settled, whole] = told() as [ReadSpan, ReadSpan];
    expect([settled.name, settled.parentSpanId]).toEqual(["settle", whole.spanId]);
    expect(whole.attributes).toEqual({ cost: 3 });
    expect(whole.endedAt).toBeLessThan(settled.endedAt);
  });

  it("that is discarded is not told", () => {
    const { span, told } = begun();
    const other = span.child("other", "internal");
    span.discard();
    span.end();
    other.end();
    expect(told().map(({ name }) => name)).toEqual(["other"]);
  });

  it("has bounds: attributes, their length, events, parts", () => {
    const { span, told } = begun();
    for (let at = 0; at < 200; at++) {
      span.set({ [`name-${at}`]: "✓".repeat(10_000) });
      span.event("happened", at);
      span.child("part", "internal").end();
    }
    span.end();
    const whole = told().find(({ parentSpanId }) => parentSpanId === "");
    expect(Object.keys(whole?.attributes ?? {})).toHaveLength(64);
    expect(String(whole?.attributes["name-0"]).length).toBeLessThanOrEqual(256);
    expect(whole?.events).toHaveLength(16);
    expect(told()).toHaveLength(65);
  });

  it("has no secret that is known by its form", () => {
    const { span, told } = begun();
    span.set({ text: `about slk_${"0".repeat(64)}` });
    span.fail(`Bearer ${"x".repeat(20)}`);
    span.end();
    expect(told()).toMatchObject([
      { failed: true, attributes: { text: "about [redacted]", "error.type": "[redacted]" } },
    ]);
  });
});
