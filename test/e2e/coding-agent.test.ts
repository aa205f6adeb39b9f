// The traffic of coding agents: large bodies with many tools and long conversations, prompt caching, beta headers, one stream
// after another on kept connections. What the provider gets and what the agent gets are the other's bytes.

import { createHash } from "node:crypto";
import { Agent, request } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
const connections = new Agent({ connections: 1, pipelining: 1 });
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(async () => {
  await connections.close();
  await gw[Symbol.asyncDispose]();
});
beforeEach(() => gw.reset());

const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

const schema = (index: number): object => ({
  type: "object",
  additionalProperties: false,
  properties: Object.fromEntries(
    Array.from({ length: 12 }, (_, at) => [
      `field_${index}_${at}`,
      { type: ["string", "null"], description: `What it is for: “${at}”. `.repeat(6), enum: ["a", "b\u2028", "世界"] },
    ]),
  ),
});

const file = (index: number): string =>
  `${index}\tconst value_${index} = "\\u0041 \\\\ \\" é 🙂"; // ${"…".repeat(20)}\n`.repeat(120);

/** The turns of an agent at work: it asks, reads a file, edits it, and so on. */
function anthropicTurns(count: number): object[] {
  return Array.from({ length: count }, (_, index) => [
    {
      role: "assistant",
      content: [
        { type: "thinking", thinking: "Let me read it.", signature: "EqQB".repeat(50) },
        { type: "text", text: `I read file ${index}.` },
        { type: "tool_use", id: `toolu_${index}`, name: `tool_${index % 80}`, input: { path: `/src/${index}.ts` } },
      ],
    },
    {
      role: "user",
      content: [
        {
          type: "tool_result",
          tool_use_id: `toolu_${index}`,
          content: [{ type: "text", text: file(index) }],
          ...(index === count - 1 && { cache_control: { type: "ephemeral", ttl: "1h" } }),
        },
      ],
    },
  ]).flat();
}

/** As agents write it: with odd numbers, and an end that a scanner must not take for another. */
function anthropicBody(turns: number): string {
  const body = {
    model: "claude-sonnet-4-5",
    max_tokens: 32_000,
    stream: true,
    metadata: { user_id: "user_0af7_account__session_1" },
    system: [
      { type: "text", text: "You are a coding agent. ".repeat(800), cache_control: { type: "ephemeral" } },
      { type: "text", text: 'Never write "model":"other" \\" }' },
    ],
    tools: Array.from({ length: 80 }, (_, index) => ({
      name: `tool_${index}`,
      description: "Reads, writes, runs. ".repeat(40),
      input_schema: schema(index),
      ...(index === 79 && { cache_control: { type: "ephemeral" } }),
    })),
    context_management: { edits: [{ type: "clear_tool_uses_20250919", keep: { type: "tool_uses", value: 3 } }] },
    messages: [
      { role: "user", content: "Fix it [[chunks=200 bytes=40]]" },
      ...anthropicTurns(turns),
      { role: "user", content: "[[chunks=200 bytes=40]]" },
    ],
  };
  return JSON.stringify(body).replace('"max_tokens":32000', '"temperature":1.0,"top_k":1e1,"max_tokens":3.2e4');
}

function responsesBody(turns: number): string {
  const items = Array.from({ length: turns }, (_, index) => [
    { type: "reasoning", id: `rs_${index}`, summary: [], encrypted_content: "gAAAA".repeat(400) },
    { type: "function_call", call_id: `call_${index}`, name: "shell", arguments: JSON.stringify({ command: ["cat"] }) },
    { type: "function_call_output", call_id: `call_${index}`, output: file(index) },
  ]).flat();
  return JSON.stringify({
    model: "gpt-5-codex",
    instructions: "You are a coding agent. ".repeat(800),
    input: [...items, { role: "user", content: [{ type: "input_text", text: "Go on [[chunks=200 bytes=40]]" }] }],
    tools: Array.from({ length: 60 }, (_, index) => ({
      type: "function",
      name: `tool_${index}`,
      parameters: schema(index),
      strict: false,
    })),
    prompt_cache_key: "session-1",
    include: ["reasoning.encrypted_content"],
    store: false,
    stream: true,
  });
}

const agents = [
  {
    name: "Anthropic's messages",
    path: "/anthropic/v1/messages?beta=true",
    upstreamPath: "/v1/messages",
    body: anthropicBody,
    headers: {
      "x-api-key": token,
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "interleaved-thinking-2025-05-14,prompt-caching-scope-2026-01-05",
      "x-stainless-timeout": "600",
      "user-agent": "agent/2.0 (cli)",
    },
    passed: ["anthropic-version", "anthropic-beta"],
  },
  {
    name: "OpenAI's responses",
    path: "/openai/v1/responses",
    upstreamPath: "/v1/responses",
    body: responsesBody,
    headers: { authorization: `Bearer ${token}`, session_id: "0af7", originator: "agent_cli_rs" },
    passed: [],
  },
] as const;

describe.each(agents)("an agent that speaks $name", ({ path, upstreamPath, body, headers, passed }) => {
  const post = async (url: string, text: string) => {
    const answer = await request(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: text,
      dispatcher: connections,
    });
    return { status: answer.statusCode, bytes: Buffer.from(await answer.body.arrayBuffer()) };
  };

  it("is understood to the byte, turn after turn of a growing conversation", async () => {
    for (const turns of [1, 20, 100]) {
      gw.reset();
      const text = body(turns);
      const answer = await post(gw.url + path, text);
      const [call] = gw.upstream.calls;
      expect(answer.status).toBe(200);
      expect(call?.path).toBe(upstreamPath);
      expect(sha(call?.body ?? Buffer.alloc(0))).toBe(sha(Buffer.from(text)));
      for (const name of passed) expect(call?.headers[name]).toBe((headers as Record<string, string>)[name]);
      for (const name of ["session_id", "originator", "x-stainless-timeout"])
        expect(call?.headers).not.toHaveProperty(name);
      const event = await gw.event();
      expect(event).toMatchObject({ outcome: "completed", charged: true });
      expect(event.usage.outputTokens).toBeGreaterThan(0);
      expect(event.usage.inputTokens).toBeGreaterThan(text.length / 8);
    }
    expect(body(100).length).toBeGreaterThan(1_000_000);
  });

  it("gets the provider's bytes, whatever they are cut into", async () => {
    const text = body(3);
    gw.upstream.holdAll();
    const answer = post(gw.url + path, text);
    const call = await gw.upstream.nextCall();
    call.answer({ rawChunkBytes: 1_000 });
    const passedOn = (await answer).bytes;
    gw.upstream.release();
    const ids = /(msg_demo|resp_demo|rs_demo|fc_demo)\d+/g;
    const straight = await request(gw.upstream.url + upstreamPath, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: text,
    });
    const direct = await straight.body.text();
    expect(passedOn.toString().replaceAll(ids, "$1")).toBe(direct.replaceAll(ids, "$1"));
    expect(passedOn.length).toBeGreaterThan(8_000);
  });
});
