// What the client receives is, byte for byte, what the upstream sent, whatever the chunking.

import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const routes = [
  { route: "/anthropic/v1/messages", model: "claude-sonnet-4-5", direct: "/v1/messages" },
  { route: "/openai/v1/chat/completions", model: "gpt-4o", direct: "/v1/chat/completions" },
  { route: "/v1/completions/anthropic-messages", model: "claude-sonnet-4-5", direct: "/v1/messages" },
  { route: "/v1/completions/openai", model: "gpt-4o", direct: "/v1/chat/completions" },
];

function request(model: string, content: string): string {
  return JSON.stringify({
    model,
    max_tokens: 100,
    stream: true,
    stream_options: { include_usage: true },
    messages: [{ role: "user", content }],
  });
}

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

describe.each(routes)("$route", ({ route, model, direct }) => {
  it("passes a stream on unchanged, wherever it is cut", async () => {
    const recorded = Buffer.from(
      await (await post(gw.upstream.url + direct, request(model, "[[say Grüezi, 世界 ✓]]"))).arrayBuffer(),
    );
    expect(recorded.length).toBeGreaterThan(500);
    // 23 and the length of an event have no common divisor: over the events, every place in one has its turn.
    for (let cut = 1 + routes.findIndex((each) => each.route === route); cut < recorded.length; cut += 23) {
      gw.upstream.reset();
      gw.upstream.holdAll();
      const answer = post(gw.url + route, request(model, "hello"));
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
      const recorded = Buffer.from(
        await (await post(gw.upstream.url + direct, request(model, directives))).arrayBuffer(),
      );
      gw.upstream.reset();
      gw.upstream.holdAll();
      const answer = post(gw.url + route, request(model, "hello"));
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
