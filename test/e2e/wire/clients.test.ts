// wire.md 14: what the clients in the field send, and what each needs of the answer.

import { once } from "node:events";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { userToken } from "../../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { rawConnect } from "../../helpers/raw-http.js";
import { bearer, marker, type Wire, wireTo } from "../../helpers/wire.js";

let ends: DemoBackEnds;
let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  ends.portal.set({ id: demoUuid("instance") });
  ends.dotcom.set({
    id: 42,
    username: "ada",
    code: { limit: 10_000, intervalSeconds: 86_400, allowedModels: ["*"] },
  });
  ends.dotcom.publish("github.com/o/r", "export function published() {}");
  gw = await testGateway({
    env: { ...ends.env, CODY_GATEWAY_DIAGNOSTICS_SECRET: "secret-of-the-diagnostics" },
    file: {
      models: [
        {
          id: "fireworks/autoedits-deepseek-lite-default",
          routes: [{ model: "fireworks/accounts/sourcegraph/models/deepseek-coder-v2-lite-base" }],
        },
      ],
    },
  });
  wire = wireTo(gw);
  const headers = { authorization: "Bearer secret-of-the-diagnostics" };
  await (await fetch(`${gw.url}/-/actor/sync-all-sources`, { headers })).arrayBuffer();
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await ends.close();
});

const license = bearer(demoToken(demoUuid("instance")));
const user = bearer(userToken(42));
const traceparent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/** What the instance sends with every completion. */
const instance = (feature: string): string[] => [
  license,
  `X-Sourcegraph-Feature: ${feature}`,
  "X-Sourcegraph-Actor-UID: 42",
  "Content-Type: application/json",
  "User-Agent: Sourcegraph-Bot",
  traceparent,
];
const anthropicHeaders = [
  "Cache-Control: no-cache",
  "Accept: application/json",
  "Client: sourcegraph/1.0",
  "X-API-Key: ",
  "anthropic-version: 2023-06-01",
];
const anthropicChat = (text: string, stream: boolean) =>
  `{"messages":[{"role":"system","content":[{"type":"text","text":"You are Cody"}]},` +
  `{"role":"user","content":[{"type":"text","text":"${text}"}]}],` +
  `"model":"claude-3-5-sonnet-20240620","temperature":0.2,"top_p":-1,"top_k":-1,"stream":${stream},` +
  `"stop_sequences":["\\n\\nHuman:"],"max_tokens":4000}`;

/** The events of a stream: names and data, in order. */
function eventsOf(body: string): { event: string | undefined; data: string }[] {
  return body
    .split("\n\n")
    .filter((frame) => frame.trim() !== "")
    .map((frame) => ({ event: /^event: (.*)$/m.exec(frame)?.[1], data: /^data: (.*)$/m.exec(frame)?.[1] ?? "" }));
}

describe.concurrent("14.1 a Sourcegraph instance", () => {
  it("14.1 chats with Anthropic, streamed: events as the provider sent them", async ({ expect }) => {
    const text = marker();
    const headers = [...instance("chat_completions"), ...anthropicHeaders];
    const reply = await wire.send("POST /v1/completions/anthropic-messages", headers, anthropicChat(text, true));
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toMatch(/^text\/event-stream/);
    const events = eventsOf(reply.body);
    expect(events[0]?.event).toBe("message_start");
    expect(events.at(-1)?.event).toBe("message_stop");
    expect(reply.body).toContain('data: {"type":"content_block_delta"');
    expect(wire.seen(text)?.json).toEqual({
      messages: [{ role: "user", content: [{ type: "text", text }] }],
      system: "You are Cody",
      model: "claude-3-5-sonnet-20240620",
      temperature: 0.2,
      stream: true,
      stop_sequences: ["\n\nHuman:"],
      max_tokens: 4000,
      metadata: { user_id: `${demoUuid("instance")}:42` },
    });
  });

  it("14.1 chats with Anthropic, whole", async ({ expect }) => {
    const headers = [...instance("chat_completions"), ...anthropicHeaders];
    const reply = await wire.send("POST /v1/completions/anthropic-messages", headers, anthropicChat("hi", false));
    const { content, stop_reason } = JSON.parse(reply.body) as Record<string, unknown>;
    expect([reply.status, Array.isArray(content), stop_reason]).toEqual([200, true, "end_turn"]);
  });

  it("14.1 an older instance completes text with Anthropic, streamed and whole", async ({ expect }) => {
    const prompt = "\\n\\nHuman: Explain this\\n\\nAssistant:";
    const body = (stream: boolean) =>
      `{"prompt":"${prompt}","temperature":0.2,"max_tokens_to_sample":1000,"stop_sequences":["\\n\\nHuman:"],` +
      `"top_k":-1,"top_p":-1,"model":"claude-2.0","stream":${stream}}`;
    const headers = [...instance("chat_completions"), ...anthropicHeaders.slice(0, 4), "anthropic-version: 2023-01-01"];
    const streamed = await wire.send("POST /v1/completions/anthropic", headers, body(true));
    expect(streamed.headers["content-type"]).toMatch(/^text\/event-stream/);
    expect(streamed.body).toMatch(/data: \{.*"completion":/);
    const whole = await wire.send("POST /v1/completions/anthropic", headers, body(false));
    const { completion, stop_reason } = JSON.parse(whole.body) as Record<string, unknown>;
    expect([typeof completion, typeof stop_reason]).toEqual(["string", "string"]);
  });

  it("14.1 completes code with Fireworks", async ({ expect }) => {
    const text = marker();
    const body = `{"prompt":"<fim_prefix>${text}","model":"starcoder","max_tokens":256,"temperature":0.2,"n":1,"stream":true,"stop":["\\n\\n"],"logprobs":0}`;
    const reply = await wire.send("POST /v1/completions/fireworks", instance("code_completions"), body);
    expect(reply.status).toBe(200);
    const events = eventsOf(reply.body);
    expect(events.at(-1)?.data).toBe("[DONE]");
    expect(JSON.parse(events[0]?.data ?? "")).toHaveProperty("choices.0.text");
    expect(wire.seen(text)?.json).toMatchObject({ logprobs: 0, n: 1, max_tokens: 256 });
  });

  it("14.1 chats with Fireworks, OpenAI and Google", async ({ expect }) => {
    const chats = {
      fireworks: `{"messages":[{"role":"user","content":"hi"}],"model":"accounts/fireworks/models/mixtral-8x7b-instruct","max_tokens":1000,"temperature":0.2,"n":1,"stream":true}`,
      openai: `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0.2,"n":1,"stream":true,"max_tokens":1000,"stop":["x"]}`,
      google: `{"model":"gemini-1.5-flash-latest","contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"what?"}]}],"generationConfig":{"temperature":0.2,"maxOutputTokens":1000},"stream":true}`,
    };
    for (const [provider, body] of Object.entries(chats)) {
      const reply = await wire.send(`POST /v1/completions/${provider}`, instance("chat_completions"), body);
      expect(reply.headers["content-type"], provider).toMatch(/^text\/event-stream/);
      const events = eventsOf(reply.body);
      expect(events.length, provider).toBeGreaterThan(1);
      if (provider === "google") expect(JSON.parse(events.at(-1)?.data ?? "")).toHaveProperty("candidates");
      else expect(events.at(-1)?.data).toBe("[DONE]");
    }
  });

  it("14.1 speaks HTTP/2", async ({ expect }) => {
    const session = connect(gw.url);
    try {
      const fields = instance("chat_completions").map((line): [string, string] => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
      });
      const stream = session.request({
        ":method": "POST",
        ":path": "/v1/completions/anthropic-messages",
        ...Object.fromEntries(fields),
      });
      stream.setEncoding("utf8");
      stream.end(anthropicChat("hi", true));
      const [headers] = (await once(stream, "response")) as [Record<string, string | number>];
      expect(headers[":status"]).toBe(200);
      let body = "";
      for await (const chunk of stream) body += chunk as string;
      expect(body).toContain("message_stop");
    } finally {
      session.destroy();
    }
  });

  it("14.1 never gets a 503 without retry-after: it would try twenty times", async ({ expect }) => {
    const replies = await Promise.all([
      wire.send("POST /v1/completions/openai", instance("chat_completions"), {
        model: "gpt-4o",
        messages: [{ role: "user", content: "[[status=503]]" }],
      }),
      wire.send("POST /v1/completions/google", instance("chat_completions"), {
        model: "gemini-1.5-flash",
        contents: [{ role: "user", parts: [{ text: "[[status=429]]" }] }],
      }),
    ]);
    for (const { status, headers } of replies) {
      expect(status).toBe(503);
      expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    }
  });
});

describe.concurrent("14.2 the instance's other calls", () => {
  it("14.2 reads limits", async ({ expect }) => {
    const { status, body } = await wire.send("GET /v1/limits", [license, "User-Agent: Sourcegraph-Bot"]);
    expect(status).toBe(200);
    for (const each of Object.values(JSON.parse(body) as Record<string, object>))
      expect(Object.keys(each)).toEqual(expect.arrayContaining(["limit", "interval", "usage", "allowedModels"]));
  });

  it("14.2 dotcom asks for a user's limits and refreshes them, and a refusal is no harm", async ({ expect }) => {
    expect((await wire.send("GET /v1/limits", [user])).status).toBe(200);
    expect([200, 429]).toContain((await wire.send("POST /v1/limits/refresh", [user], "")).status);
  });
});

describe.concurrent("14.3 Cody's fast path", () => {
  const fast = [
    "Content-Type: application/json; charset=utf-8",
    user,
    "X-Sourcegraph-Feature: code_completions",
    "X-Timeout-Ms: 7000",
    traceparent,
    "X-Fireworks-Genie: true",
    "Connection: keep-alive",
  ];
  const body = (prompt: string) =>
    `{"model":"deepseek-coder-v2-lite-base","prompt":"${prompt}","max_tokens":256,"echo":false,` +
    `"temperature":0.2,"top_p":0.9,"top_k":0,"stop":["\\n\\n","\\n\\r\\n","<|endoftext|>"],` +
    `"stream":true,"languageId":"typescript","user":"5e0a7c5e-0000-4000-8000-3a8bd2b2f6a1"}`;

  it("14.3 gets a stream of choices with text and a reason, ended by [DONE]", async ({ expect }) => {
    const text = marker();
    const reply = await wire.send("POST /v1/completions/fireworks", fast, body(text));
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toMatch(/^text\/event-stream/);
    expect(reply.headers["x-trace"]).toBe("0af7651916cd43dd8448eb211c80319c");
    const events = eventsOf(reply.body);
    expect(events.pop()?.data).toBe("[DONE]");
    const chunks = events.map(
      ({ data }) => JSON.parse(data) as { choices: { text?: string; finish_reason?: string }[] },
    );
    expect(chunks.some(({ choices }) => choices[0]?.text)).toBe(true);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(["stop"]);
    expect(wire.seen(text)?.headers["x-fireworks-genie"]).toBe("true");
    expect(wire.seen(text)?.json).not.toHaveProperty("languageId");
    expect(wire.seen(text)?.model).toBe("accounts/sourcegraph/models/deepseek-coder-v2-lite-base");
  });

  it("14.3 the account's full path serves the model as well", async ({ expect }) => {
    const long = body("hi").replace("deepseek-coder", "accounts/sourcegraph/models/deepseek-coder");
    expect((await wire.send("POST /v1/completions/fireworks", fast, long)).status).toBe(200);
  });

  it("14.3 cancels often: each ends the request at the provider", async ({ expect }) => {
    const connection = await rawConnect(gw.gateway.port);
    const text = marker();
    const sent = body(`${text} [[hold]]`);
    const arrived = gw.upstream.waitFor(({ body: seen }) => seen.toString().includes(text));
    const head = [
      "POST /v1/completions/fireworks HTTP/1.1",
      "Host: gateway.test",
      ...fast,
      `Content-Length: ${sent.length}`,
    ];
    connection.send(`${head.join("\r\n")}\r\n\r\n${sent}`);
    const call = await arrived;
    connection.destroy();
    await call.aborted;
    expect(call.state).toBe("aborted");
  });
});

describe.concurrent("14.2 the instance's embeddings and attribution", () => {
  interface Embeddings {
    readonly embeddings: readonly { readonly index: number; readonly data: readonly number[] }[];
    readonly dimensions: number;
  }

  /** As instances do it: a batch, and by itself whatever came back without a vector, three times at most. */
  async function embedLikeAnInstance(texts: readonly string[]) {
    const asked: string[][] = [];
    const ask = async (input: readonly string[]): Promise<Embeddings> => {
      asked.push([...input]);
      const size = input.length > 1 ? [`X-Cody-Embed-Batch-Size: ${input.length}`] : [];
      const headers = ["Content-Type: application/json", license, ...size];
      const body = { model: "openai/text-embedding-ada-002", input };
      const reply = await wire.send("POST /v1/embeddings", headers, body);
      if (reply.status !== 200) throw new Error(`${reply.status} ${reply.body}`);
      return JSON.parse(reply.body) as Embeddings;
    };
    const { embeddings, dimensions } = await ask(texts);
    const vectors = embeddings.map(({ data }) => data);
    for (const { index } of embeddings.filter(({ data }) => data.length === 0)) {
      for (let time = 0; time < 3 && vectors[index]?.length === 0; time++)
        vectors[index] = (await ask([texts[index] ?? ""])).embeddings[0]?.data ?? [];
    }
    return { asked, dimensions, lengths: vectors.map(({ length }) => length) };
  }

  it("14.2 embeds a batch, and asks again for what got no vector", async ({ expect }) => {
    const texts = ["one", "[[hole]] two", "three"];
    const { asked, dimensions, lengths } = await embedLikeAnInstance(texts);
    expect(dimensions).toBe(1536);
    expect(lengths).toEqual([1536, 0, 1536]);
    expect(asked).toEqual([texts, ["[[hole]] two"], ["[[hole]] two"], ["[[hole]] two"]]);
  });

  it("14.2 searches for attribution without a content type", async ({ expect }) => {
    const reply = await wire.send("POST /v1/attribution", [license], { snippet: "function published() {", limit: 4 });
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual({ Repositories: [{ name: "github.com/o/r" }], totalCount: 1 });
  });
});

describe.concurrent("14.4 Cody's auto-edit", () => {
  const body = (more: string) =>
    `{"stream":true,"model":"autoedits-deepseek-lite-default","temperature":0.1,"max_tokens":256,` +
    `"response_format":{"type":"text"},"prediction":{"type":"content","content":"const a = 1"},"user":"someone",` +
    `"rewrite_speculation":true,"adaptive_speculation":true,"speculation_length_on_strong_match":500,` +
    `"speculation_min_length_on_strong_match":500,"speculation_strong_match_threshold":20,${more}}`;
  const headers = [
    "Content-Type: application/json",
    user,
    "Accept-Encoding: gzip;q=0",
    "X-Sourcegraph-Feature: code_completions",
  ];

  it("14.4 gets exactly 200, and all its fields reach the provider", async ({ expect }) => {
    const text = marker();
    for (const more of [`"prompt":"${text}"`, `"messages":[{"role":"user","content":"${text}-chat"}]`]) {
      const reply = await wire.send("POST /v1/completions/fireworks", headers, body(more));
      expect(reply.status).toBe(200);
      expect(reply.headers).not.toHaveProperty("content-encoding");
    }
    expect(wire.seen(text)?.json).toMatchObject({
      prediction: { type: "content", content: "const a = 1" },
      response_format: { type: "text" },
      rewrite_speculation: true,
      adaptive_speculation: true,
      speculation_length_on_strong_match: 500,
      speculation_min_length_on_strong_match: 500,
      speculation_strong_match_threshold: 20,
      user: "someone",
    });
    expect(wire.seen(`${text}-chat`)?.path).toBe("/inference/v1/chat/completions");
  });
});

describe.concurrent("14.5 other callers", () => {
  it("14.5 src-cli's benchmark sends contents as strings and X-Sourcegraph-Should-Trace", async ({ expect }) => {
    const body = `{"model":"claude-3-haiku-20240307","messages":[{"role":"user","content":"def bubble_sort(arr):"}],"max_tokens":256,"temperature":0.2,"top_p":1,"stream":true}`;
    const headers = [license, "X-Sourcegraph-Feature: code_completions", "X-Sourcegraph-Should-Trace: true"];
    const reply = await wire.send("POST /v1/completions/anthropic-messages", headers, body);
    expect([reply.status, reply.body.includes("message_stop")]).toEqual([200, true]);
    expect(reply.headers["x-trace"]).toMatch(/^[0-9a-f]{32}$/);
  });

  it("14.5 a secret scanner tells good tokens from bad ones by /v1/limits", async ({ expect }) => {
    expect((await wire.send("GET /v1/limits", [license])).status).toBe(200);
    expect((await wire.send("GET /v1/limits", [bearer(`slk_${"c".repeat(64)}`)])).status).toBe(401);
  });

  it("14.5 the extension asks for the version without a token", async ({ expect }) => {
    const reply = await wire.send("GET /-/__version", ["User-Agent: vscode"]);
    expect([reply.status, reply.body]).toEqual([200, "0.0.0-test"]);
  });
});
