import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type EndedSpan, encodeExport, encodeSpan, rejectedSpans } from "../../src/telemetry/otlp.js";
import { readExport, writeAnswer } from "../helpers/otlp.js";

const sender = {
  resource: { "service.name": "cody-gateway", "process.pid": 42 },
  scope: { name: "cody-gateway", version: "1.2.3" },
};
const span: EndedSpan = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentId: "00f067aa0ba902b7",
  linkedId: "00f067aa0ba902b8",
  kind: "server",
  name: "POST /v1/completions/anthropic-messages",
  startedAt: 1764151200123.456,
  endedAt: 1764151201654.321,
  attributes: {
    "http.route": "/v1/completions/anthropic-messages",
    "http.response.status_code": 502,
    "cody_gateway.charged": false,
    share: 0.25,
    big: 5_000_000_000,
    text: "Größe ✓",
    absent: undefined,
  },
  events: [{ name: "first_byte", at: 1764151200623.456 }],
  failed: true,
};

describe("spans as bytes", () => {
  // What @opentelemetry/otlp-transformer 0.223.1 makes of the same span.
  const official = Buffer.from(
    readFileSync(resolve(import.meta.dirname, "../testdata/otlp/official.base64"), "utf8"),
    "base64",
  );

  it("say what OpenTelemetry's own exporter says", () => {
    expect(readExport(encodeExport(sender, [encodeSpan(span)]))).toEqual(readExport(official));
  });

  it("say nothing of what there is not", () => {
    const { parentId, linkedId, ...rest } = { ...span, parentId: undefined, linkedId: undefined };
    const [read] = readExport(
      encodeExport(sender, [encodeSpan({ ...rest, parentId, linkedId, events: [], attributes: {}, failed: false })]),
    ).spans;
    expect(read).toMatchObject({ parentSpanId: "", links: [], events: [], attributes: {}, failed: false });
  });

  it("have room for the largest that there can be, beside others", () => {
    const attributes = Object.fromEntries(
      Array.from({ length: 64 }, (_, at) => [`a.rather.long.name.${at}`, "✓".repeat(256)]),
    );
    const sent = [span, { ...span, attributes }, span].map(encodeSpan);
    expect(readExport(encodeExport(sender, sent)).spans.map((each) => Object.keys(each.attributes).length)).toEqual([
      6, 64, 6,
    ]);
  });
});

describe("the answer to an export", () => {
  it("tells how many spans were not taken", () => {
    expect(rejectedSpans(writeAnswer({ partialSuccess: { rejectedSpans: 300, errorMessage: "too many" } }))).toBe(300);
    expect(rejectedSpans(writeAnswer({}))).toBe(0);
    expect(rejectedSpans(writeAnswer({ partialSuccess: { errorMessage: "a warning" } }))).toBe(0);
  });

  it("tells nothing when it is garbage", () => {
    for (const garbage of ["", "<html>no</html>", '{"partialSuccess":{}}', "\n\xff\xff\xff"])
      expect(rejectedSpans(Buffer.from(garbage, "latin1"))).toBe(0);
  });
});
