import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSseScanner } from "../../src/providers/sse.js";

describe("SSE scanner", () => {
  it.each([
    ["one event", "data: a\n\n", ["a"]],
    ["no space behind the colon", "data:a\n\n", ["a"]],
    ["one space is no payload, two are", "data:  a\n\n", [" a"]],
    ["several data lines", "data: a\ndata\ndata: b\n\n", ["a\n\nb"]],
    ["a data line without a value", "data\n\ndata:\n\ndata: \n\n", ["", "", ""]],
    ["event names, ids and retry times", "event: x\nid: 1\nretry: 5\ndata: a\nevent: y\n\n", ["a"]],
    ["events without data", "event: ping\n\n: comment\n\n\n\n", []],
    ["comments", ": keep-alive\ndata: a\n:data: b\n\n", ["a"]],
    ["fields that only begin like data", "dat: x\ndatas: x\ndata : x\n data: x\nDATA: x\n\n", []],
    ["CR and LF", "data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
    ["CR alone", "data: a\r\rdata: b\r\r", ["a", "b"]],
    ["mixed line ends", "data: a\r\ndata: b\r\n\ndata: c\n\r\ndata: d\r\r\n", ["a\nb", "c", "d"]],
    ["a byte order mark at the beginning only", "\ufeffdata: a\n\n\ufeffdata: b\n\ndata: c\n\n", ["a", "c"]],
    ["a byte order mark alone", "\ufeff\ndata: a\n\n", ["a"]],
    ["non-ASCII text", "data: Grüße, 世界 👋\n\n", ["Grüße, 世界 👋"]],
    ["an event that lacks its empty line", "data: a\n\ndata: [DONE]\n", ["a", "[DONE]"]],
    ["an event that lacks its line end", "data: [DONE]", ["[DONE]"]],
    ["nothing", "", []],
  ])("finds %s, wherever the stream is cut", (_what, text, expected) => {
    const bytes = Buffer.from(text);
    expect(scan([bytes]).payloads).toEqual(expected);
    for (let cut = 0; cut <= bytes.length; cut++)
      expect(scan([bytes.subarray(0, cut), bytes.subarray(cut)]).payloads, `cut at ${cut}`).toEqual(expected);
    expect(scan(singles(bytes)).payloads).toEqual(expected);
  });

  it("passes over an event that is too long, however it comes, and finds the next", () => {
    const long = "x".repeat(17);
    for (const event of [
      `data: ${long}\n\n`,
      `data:${long}\n\n`,
      "data: 12345678\ndata: 12345678\ndata: 1\n\n",
      `event: x\ndata: ${long}\ndata: more\n\n`,
    ]) {
      const bytes = Buffer.from(`data: 1234567890123456\n\n${event}data: b\n\n`);
      for (let cut = 0; cut <= bytes.length; cut++) {
        const { payloads, oversize } = scan([bytes.subarray(0, cut), bytes.subarray(cut)], 16);
        expect(payloads, `${event} cut at ${cut}`).toEqual(["1234567890123456", "b"]);
        expect(oversize).toBe(1);
      }
      expect(scan(singles(bytes), 16)).toEqual({ payloads: ["1234567890123456", "b"], oversize: 1 });
    }
  });

  it("does not take a long comment for a long event", () => {
    const bytes = Buffer.from(`: ${"x".repeat(100)}\ndata: a\n\nevent: ${"y".repeat(100)}\ndata: b\n\n`);
    expect(scan(singles(bytes), 16)).toEqual({ payloads: ["a", "b"], oversize: 0 });
  });

  it("reads a 256 KiB event that comes byte by byte", () => {
    const bytes = Buffer.from(`data: ${"é".repeat(131_072)}\n\ndata: b\n\n`);
    expect(scan(singles(bytes), 2 ** 19).payloads.map(({ length }) => length)).toEqual([131_072, 1]);
  });

  it("keeps no view of a chunk that is over", () => {
    const payloads: string[] = [];
    const scanner = createSseScanner((data) => payloads.push(data.toString()), { maxEventBytes: 1000 });
    for (const text of ["data: on", "e\ndata: two", "\n", "\n", "data: three\n", "\n"]) {
      const chunk = Buffer.from(text);
      scanner.push(chunk);
      chunk.fill(0x2a);
    }
    expect(payloads).toEqual(["one\ntwo", "three"]);
  });

  it("finds the same payloads for any lines and any cuts", () => {
    const line = fc.constantFrom(
      "data: a",
      "data:",
      "data",
      "",
      ":c",
      "event: e",
      "data: é👋",
      "\ufeff",
      "x".repeat(40),
    );
    const lineEnd = fc.constantFrom("\n", "\r\n", "\r");
    fc.assert(
      fc.property(
        fc.array(fc.tuple(line, lineEnd), { maxLength: 20 }),
        fc.array(fc.nat(200), { maxLength: 8 }),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.flat().join(""));
          const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
          const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
          expect(scan(chunks, 30)).toEqual(scan([bytes], 30));
          expect(scan([bytes], 1000).payloads).toEqual(reference(bytes.toString("utf8")));
        },
      ),
      { numRuns: 500 },
    );
  });
});

function scan(chunks: readonly Buffer[], maxEventBytes = 65_536) {
  const payloads: string[] = [];
  let oversize = 0;
  const scanner = createSseScanner((data) => payloads.push(data.toString("utf8")), {
    maxEventBytes,
    onOversize: () => oversize++,
  });
  for (const chunk of chunks) scanner.push(chunk);
  scanner.end();
  return { payloads, oversize };
}

function singles(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.of(byte));
}

/** The specification's parsing steps, on text. */
function reference(text: string): string[] {
  const payloads: string[] = [];
  let data: string[] = [];
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  for (const line of [...lines, ""]) {
    if (line === "") {
      if (data.length > 0) payloads.push(data.join("\n"));
      data = [];
    } else if (line === "data") data.push("");
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return payloads;
}
