import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scanJsonObject } from "../../src/lib/json.js";
import { openai } from "../../src/providers/openai.js";
import { createSseFilter } from "../../src/providers/sse-filter.js";
import { cpuMs } from "../helpers/timed.js";
import { apiOf } from "./requests.js";

const drops = (event: Buffer) => event.includes("drop");

describe("SSE filter", () => {
  it.each(["\n", "\r\n", "\r"])("leaves events out wherever the stream is cut, with %j", (lineEnd) => {
    const events = [
      "data: a\n\n",
      "event: x\ndata: drop\n\n",
      ": c\n\n",
      "data: drop\n\n",
      "data: drop\n\n",
      "data: b\n\n",
    ];
    const bytes = Buffer.from(events.join("").replaceAll("\n", lineEnd));
    const expected = "data: a\n\n: c\n\ndata: b\n\n".replaceAll("\n", lineEnd);
    for (let cut = 0; cut <= bytes.length; cut++)
      expect(filtered([bytes.subarray(0, cut), bytes.subarray(cut)]), `cut at ${cut}`).toBe(expected);
    expect(filtered(Array.from(bytes, (byte) => Buffer.of(byte)))).toBe(expected);
  });

  it("passes every byte of what it does not leave out, for any cuts", () => {
    const piece = fc.constantFrom("data: a\n", "data: é\n", "\n", "\r\n", "\r", "x", "data: drop\n\n");
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 6 }), { maxLength: 6 }), (parts) => {
        const chunks = parts.map((pieces) => Buffer.from(pieces.join("")));
        const whole = Buffer.concat(chunks);
        expect(filtered(chunks, () => false)).toBe(whole.toString());
        expect(filtered(chunks)).toBe(filtered([whole]));
      }),
      { numRuns: 2000 },
    );
  });

  it("holds back the event that is under way, and no more", () => {
    const filter = createSseFilter(drops);
    expect(filter.push(Buffer.from("data: a\n\ndata: b")).toString()).toBe("data: a\n\n");
    expect(filter.push(Buffer.from("\n")).toString()).toBe("");
    expect(filter.push(Buffer.from("\ndata: c")).toString()).toBe("data: b\n\n");
    expect(filter.rest().toString()).toBe("data: c");
    expect(filter.rest().toString()).toBe("");
  });

  it("passes an event on as it comes that is too long to be held", () => {
    const long = `data: ${"x".repeat(70_000)}`;
    const filter = createSseFilter(drops);
    expect(filter.push(Buffer.from(long)).length).toBeGreaterThan(70_000);
    for (const lineEnd of ["\n", "\r\n"]) {
      const bytes = Buffer.from(`${long}\n\ndata: drop\n\ndata: a\n\n`.replaceAll("\n", lineEnd));
      const expected = `${long}\n\ndata: a\n\n`.replaceAll("\n", lineEnd);
      for (let cut = long.length - 5; cut <= bytes.length; cut++)
        expect(filtered([bytes.subarray(0, cut), bytes.subarray(cut)]) === expected, `cut at ${cut}`).toBe(true);
    }
  });

  it("is done with many events in one chunk in no time", () => {
    const chunk = Buffer.from('data: {"choices":[{"delta":{"content":"x"}}],"usage":null}\r\n\r\n'.repeat(20_000));
    const took = cpuMs(() => expect(filtered([chunk])).toHaveLength(chunk.length));
    expect(took).toBeLessThan(2000);
  });
});

describe("a chat stream whose caller did not ask for usage", () => {
  const chat = apiOf(openai, "chat_completions");
  const unasked = (fields: string) =>
    chat.unasked?.(scanJsonObject(Buffer.from(`{"model":"m","messages":[]${fields}}`)));

  it.each(["text", "tools", "refusal", "no-usage", "error", "cut"])("is as OpenAI would have sent it: %s", (name) => {
    const stream = readFileSync(new URL(`../testdata/openai/${name}.sse`, import.meta.url), "utf8");
    const plain = stream
      .split(/(?<=\n\n)/)
      .filter((event) => !event.includes('"choices":[]'))
      .join("");
    expect(filtered([Buffer.from(stream)], unasked(',"stream":true'))).toBe(plain);
  });

  it("keeps chunks that have anything else to say", () => {
    const drop = unasked(',"stream":true,"stream_options":{"include_usage":false}');
    for (const data of [
      '{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}',
      '{"choices":[],"usage":null}',
      '{"choices":[],"prompt_filter_results":[]}',
      '{"choices":[{"delta":{"content":"\\"choices\\":[],\\"usage\\":{}"}}]}',
      '{"usage":{"prompt_tokens":1}}',
      '"usage"',
    ])
      expect(filtered([Buffer.from(`data: ${data}\n\n`)], drop)).toBe(`data: ${data}\n\n`);
    expect(filtered([Buffer.from('data: { "usage" : {"prompt_tokens":1} , "choices" : [ ] }\n\n')], drop)).toBe("");
  });

  it("has nothing left out where the caller asked, or did not stream", () => {
    expect(unasked(',"stream":true,"stream_options":{"include_usage":true}')).toBeUndefined();
    expect(unasked("")).toBeUndefined();
    expect(unasked(',"stream":false,"stream_options":null')).toBeUndefined();
  });
});

function filtered(chunks: readonly Buffer[], drop: ((event: Buffer) => boolean) | undefined = drops): string {
  const filter = createSseFilter(drop);
  return Buffer.concat([...chunks.map((chunk) => Buffer.from(filter.push(chunk))), filter.rest()]).toString();
}
