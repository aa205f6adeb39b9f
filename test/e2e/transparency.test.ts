// What the client receives is, byte for byte, what the upstream sent, whatever the chunking.

import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { surfaces } from "../helpers/surfaces.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

function post(url: string, body: string | Buffer): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "x-sourcegraph-feature": "chat_completions",
      "content-type": "application/json",
    },
    body,
  });
}

const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

describe.each(surfaces)("$name", ({ name, path, upstreamPath, body }) => {
  // Straight from the upstream, as the gateway gets it.
  const record = async (content: string): Promise<Buffer> => {
    const native = surfaces.find(({ edge, upstreamPath: at }) => edge === "sdk" && at(true) === upstreamPath(true));
    const answer = await post(gw.upstream.url + upstreamPath(true), (native?.body ?? body)(content, true));
    return Buffer.from(await answer.arrayBuffer());
  };

  it("passes a stream on unchanged, wherever it is cut", async () => {
    const recorded = await record("[[say Grüezi, 世界 ✓]]");
    expect(recorded.length).toBeGreaterThan(300);
    // The scanners are cut at every byte elsewhere; this is the way through the gateway. 23 and the length of an event have no
    // common divisor: over the events, and over the APIs, every place in one has its turn.
    const step = recorded.length > 1_500 ? 69 : 23;
    for (let cut = 1 + surfaces.findIndex((each) => each.name === name); cut < recorded.length; cut += step) {
      gw.upstream.reset();
      gw.upstream.holdAll();
      const answer = post(gw.url + path(true), body("hello", true));
      const call = await gw.upstream.nextCall();
      await call.send(recorded.subarray(0, cut));
      const received: Uint8Array[] = [];
      const response = await answer;
      const reader = response.body?.getReader();
      const first = await reader?.read();
      if (first?.value) received.push(first.value);
      await call.send(recorded.subarray(cut));
      call.end();
      for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) received.push(next.value);
      expect(sha(Buffer.concat(received)), `cut at ${cut}`).toBe(sha(recorded));
    }
  });

  it.each(["[[say Grüezi, 世界 ✓]] [[crlf]]", "[[say Grüezi, 世界 ✓]] [[comments]]", "[[chunks=8 bytes=40]]"])(
    "passes %s on unchanged, written byte by byte",
    async (directives) => {
      const recorded = await record(directives);
      gw.upstream.reset();
      gw.upstream.holdAll();
      const answer = post(gw.url + path(true), body("hello", true));
      const call = await gw.upstream.nextCall();
      for (let at = 0; at < recorded.length; at++) await call.send(recorded.subarray(at, at + 1));
      call.end();
      const passed = Buffer.from(await (await answer).arrayBuffer());
      expect(sha(passed)).toBe(sha(recorded));
    },
  );
});

describe("request bodies", () => {
  it("reach the upstream byte for byte on the SDK routes", async () => {
    const odd = `{ "stream" : false,\n "messages":[{"role":"user","content":"hi \\u00e9 \\ud83d\\ude00"}], "seed": 9007199254740993, "temperature": 0.0, "x": 1.0, "max_tokens":1e2, "model" : "gpt-4o" }`;
    await post(`${gw.url}/openai/v1/chat/completions`, odd);
    expect(gw.upstream.calls.at(-1)?.body.toString()).toBe(odd);
  });

  it("change only what must change on the Sourcegraph routes", async () => {
    const body = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"seed":9007199254740993,"temperature":0,"n":1,"unknown":{"a":[1.0]}}`;
    await post(`${gw.url}/v1/completions/openai`, body);
    const sent = gw.upstream.calls.at(-1)?.body.toString() ?? "";
    expect(sent).toBe(body.replace(/}$/, `,"user":"acme:"}`));
  });

  it("lose an anthropic/ prefix of the model and nothing else", async () => {
    const body = `{"model":"anthropic/claude-sonnet-4-5","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}`;
    await post(`${gw.url}/anthropic/v1/messages`, body);
    expect(gw.upstream.calls.at(-1)?.body.toString()).toBe(body.replace("anthropic/claude", "claude"));
  });
});
