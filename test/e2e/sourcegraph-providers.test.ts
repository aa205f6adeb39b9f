// Google and Fireworks on the routes of existing Sourcegraph instances: what their clients send (wire.md 14), what the
// providers get (wire.md 1.4), what comes back.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway({
    env: { CODY_GATEWAY_FIREWORKS_STARCODER_COMMUNITY_SINGLE_TENANT_PERCENT: "0" },
  });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

/** What an instance sends with every request. */
const instance = {
  "user-agent": "Sourcegraph-Bot",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "x-sourcegraph-actor-uid": "42",
};

function post(
  path: string,
  feature: "chat_completions" | "code_completions",
  body: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(gw.url + path, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      "x-sourcegraph-feature": feature,
      ...instance,
      ...headers,
    },
    body: JSON.stringify(body),
  });
}

const googleChat = {
  model: "gemini-1.5-flash-latest",
  contents: [
    { role: "user", parts: [{ text: "Explain this" }] },
    { role: "model", parts: [{ text: "What?" }] },
    { role: "user", parts: [{ text: "That" }] },
  ],
  generationConfig: { temperature: 0.2, maxOutputTokens: 1000 },
  stream: true,
};

describe("/v1/completions/google", () => {
  it.each([true, false])("serves the request of an instance, stream %s", async (stream) => {
    const answer = await post("/v1/completions/google", "chat_completions", { ...googleChat, stream });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(stream ? /^text\/event-stream/ : /^application\/json/);
    expect(answer.headers.get("x-cody-resolved-model")).toBe("google/gemini-1.5-flash-latest");
    expect(await answer.text()).toContain('"candidates"');
    const call = gw.upstream.calls[0];
    expect(call?.path).toBe(
      `/v1beta/models/gemini-1.5-flash-latest:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    );
    expect(call?.key).toBe("upstream-key-google");
    expect(call?.headers).not.toHaveProperty("authorization");
    const { stream: _, ...sent } = googleChat;
    expect(call?.json).toEqual(sent);
    expect(await gw.event()).toMatchObject({
      outcome: "completed",
      model: "google/gemini-1.5-flash-latest",
      stream,
      charged: true,
      usage: { inputTokens: expect.any(Number) as number, outputTokens: expect.any(Number) as number },
    });
  });

  it("makes an object of a system instruction that is a text, and drops what clients mean by -1", async () => {
    const body = {
      ...googleChat,
      systemInstruction: "You are Cody",
      generationConfig: { temperature: 0, topP: -1, topK: -1, maxOutputTokens: 10 },
    };
    expect((await post("/v1/completions/google", "code_completions", body)).status).toBe(200);
    const { stream: _, ...sent } = body;
    expect(gw.upstream.calls[0]?.json).toEqual({
      ...sent,
      systemInstruction: { parts: [{ text: "You are Cody" }] },
      generationConfig: { temperature: 0, maxOutputTokens: 10 },
    });
  });

  it("passes newer fields on as they are", async () => {
    const body = {
      model: "google/gemini-2.5-flash",
      systemInstruction: { parts: [{ text: "Be brief" }] },
      contents: [{ role: "user", parts: [{ text: "Look" }, { inlineData: { mimeType: "image/png", data: "iVBO" } }] }],
      tools: [{ functionDeclarations: [{ name: "f", parameters: { type: "OBJECT" } }] }, { googleSearch: {} }],
      toolConfig: { functionCallingConfig: { mode: "AUTO" } },
      safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_NONE" }],
      generationConfig: { thinkingConfig: { thinkingBudget: 0 }, responseMimeType: "text/plain" },
    };
    expect((await post("/v1/completions/google", "chat_completions", body)).status).toBe(200);
    expect(gw.upstream.calls[0]?.json).toEqual({ ...body, model: "gemini-2.5-flash" });
  });

  it("answers 503 with a hint of 3 seconds when Google is overloaded", async () => {
    const contents = [{ role: "user", parts: [{ text: "[[status=429]]" }] }];
    const answer = await post("/v1/completions/google", "chat_completions", { ...googleChat, contents });
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "3"]);
  });

  it("refuses a model that is not on the list, by its whole name", async () => {
    const answer = await post("/v1/completions/google", "chat_completions", { ...googleChat, model: "gpt-4o" });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({
      error: 'model "google/gpt-4o" is not allowed, allowed: [google/gemini-*, google/demo-*]',
    });
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it("never tells the key, whatever fails", async () => {
    const contents = [{ role: "user", parts: [{ text: "[[die after=0]]" }] }];
    const answer = await post("/v1/completions/google", "chat_completions", { ...googleChat, contents, stream: false });
    expect(answer.status).toBe(502);
    expect(await answer.text()).toBe('{"error":"failed to make request to upstream provider google"}\n');
  });
});

describe("/v1/completions/fireworks", () => {
  const completion = {
    prompt: "<fim_prefix>function add(",
    model: "starcoder",
    max_tokens: 256,
    temperature: 0.2,
    n: 1,
    stream: true,
    stop: ["\n\n"],
    logprobs: 0,
  };

  it("serves the code completion of an instance by StarCoder's own model", async () => {
    const answer = await post("/v1/completions/fireworks", "code_completions", completion);
    expect(answer.status).toBe(200);
    const resolved = "accounts/sourcegraph/models/starcoder-16b";
    expect(answer.headers.get("x-cody-resolved-model")).toBe(`fireworks/${resolved}`);
    const text = await answer.text();
    expect(text).toMatch(/"text":".*"finish_reason":"stop".*data: \[DONE\]\n\n$/s);
    const call = gw.upstream.calls[0];
    expect(call?.path).toBe("/inference/v1/completions");
    expect(call?.key).toBe("upstream-key-fireworks");
    expect(call?.json).toEqual({ ...completion, model: resolved });
    expect(await gw.event()).toMatchObject({
      feature: "code_completions",
      provider: "fireworks",
      usage: { inputTokens: expect.any(Number) as number, outputTokens: expect.any(Number) as number },
    });
  });

  it("serves the fast path of Cody: the language chooses the model and goes no further", async () => {
    const body = {
      model: "fireworks/fim-lang-specific-model-mixtral",
      prompt: "const a =",
      max_tokens: 256,
      echo: false,
      temperature: 0.2,
      top_p: -1,
      top_k: 0,
      stop: ["\n\n", "\n\r\n", "<|endoftext|>"],
      stream: true,
      languageId: "typescriptreact",
      user: "anonymous-uid",
    };
    const headers = { "content-type": "application/json; charset=utf-8", "x-timeout-ms": "7000" };
    const answer = await post("/v1/completions/fireworks", "code_completions", body, headers);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const model = "accounts/sourcegraph/models/finetuned-fim-lang-typescript-model-mixtral-8x7b";
    const { languageId: _, top_p: __, ...sent } = body;
    expect(gw.upstream.calls[0]?.json).toEqual({ ...sent, model });
    await answer.text();
  });

  it("passes the header for traced requests on where it says true, and no other header", async () => {
    for (const value of ["true", "True", "1", undefined]) {
      const headers = value === undefined ? {} : { "x-fireworks-genie": value };
      await (await post("/v1/completions/fireworks", "code_completions", completion, headers)).text();
      expect(gw.upstream.calls.at(-1)?.headers["x-fireworks-genie"]).toBe(value === "true" ? "true" : undefined);
    }
    const { headers } = gw.upstream.calls[0] ?? {};
    for (const name of ["traceparent", "x-sourcegraph-feature", "x-sourcegraph-actor-uid"])
      expect(headers).not.toHaveProperty(name);
  });

  it("serves chats, and drops what clients mean by -1", async () => {
    const model = "accounts/fireworks/models/mixtral-8x7b-instruct";
    const body = {
      messages: [{ role: "user", content: "Hi" }],
      model,
      max_tokens: 1000,
      temperature: 0,
      top_p: -1,
      n: 2,
      stream: true,
    };
    const answer = await post("/v1/completions/fireworks", "chat_completions", body);
    expect(await answer.text()).toContain('"delta":{"content":');
    const call = gw.upstream.calls[0];
    expect(call?.path).toBe("/inference/v1/chat/completions");
    const { top_p: _, ...sent } = body;
    expect(call?.json).toEqual({ ...sent, n: 1 });
  });

  it("serves auto-edits: code completions by chat models, with predicted outputs and speculation fields", async () => {
    const body = {
      stream: true,
      model: "accounts/fireworks/models/autoedits-deepseek-lite-default",
      temperature: 0.1,
      max_tokens: 100,
      response_format: { type: "text" },
      prediction: { type: "content", content: "const a = 1" },
      user: "someone",
      messages: [{ role: "user", content: "[[say const a = 2]]" }],
      rewrite_speculation: true,
      adaptive_speculation: true,
      speculation_length_on_strong_match: 500,
    };
    const headers = { "accept-encoding": "gzip;q=0" };
    const answer = await post("/v1/completions/fireworks", "code_completions", body, headers);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain("const ");
    expect(gw.upstream.calls[0]).toMatchObject({ path: "/inference/v1/chat/completions", json: body });
    expect(await gw.event()).toMatchObject({ feature: "code_completions" });
  });

  it("answers 503 with a hint of 30 seconds when Fireworks is overloaded", async () => {
    const answer = await post("/v1/completions/fireworks", "code_completions", {
      ...completion,
      prompt: "[[status=429]]",
    });
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "30"]);
  });
});

describe("a provider without a key", () => {
  it("has no routes", async () => {
    await using bare = await testGateway({ env: { GEMINI_API_KEY: "", FIREWORKS_API_KEY: "" } });
    for (const path of ["/v1/completions/google", "/v1/completions/fireworks", "/fireworks/v1/completions"]) {
      const answer = await fetch(bare.url + path, { method: "POST", body: "{}" });
      expect([answer.status, await answer.text()]).toEqual([404, "404 page not found\n"]);
    }
  });
});
