import Anthropic from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { testUpstream } from "../helpers/upstream.js";

function client(upstream: DemoUpstream, apiKey = "sk-good"): Anthropic {
  return new Anthropic({ baseURL: upstream.baseUrls.anthropic, apiKey, maxRetries: 0 });
}

function ask(content: string): Anthropic.MessageCreateParamsNonStreaming {
  return { model: "claude-sonnet-5", max_tokens: 1000, messages: [{ role: "user", content }] };
}

const tools: Anthropic.Tool[] = [
  { name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } },
];

describe("the demo upstream as Anthropic", () => {
  it("answers a message whole", async () => {
    await using upstream = await testUpstream();
    const answer = await client(upstream).messages.create({
      ...ask("What is a monad?"),
      metadata: { user_id: "acme:42" },
    });
    expect(answer.content[0]).toMatchObject({ type: "text", text: expect.stringContaining("What is a monad?") });
    expect(answer.stop_reason).toBe("end_turn");
    expect(answer.usage).toMatchObject({ input_tokens: 4, cache_read_input_tokens: 0 });
    expect(upstream.calls[0]).toMatchObject({ endUser: "acme:42", key: "sk-good", stream: false });
  });

  it("streams the same message", async () => {
    await using upstream = await testUpstream();
    const whole = await client(upstream).messages.create(ask("Hello"));
    const stream = client(upstream).messages.stream(ask("Hello"));
    let deltas = 0;
    stream.on("text", () => void deltas++);
    const streamed = await stream.finalMessage();
    expect(deltas).toBeGreaterThan(5);
    expect(streamed.content).toEqual(whole.content);
    expect(streamed.usage).toMatchObject({
      input_tokens: whole.usage.input_tokens,
      output_tokens: whole.usage.output_tokens,
    });
  });

  it("thinks before it answers when that is enabled", async () => {
    await using upstream = await testUpstream();
    const body = { ...ask("Why?"), thinking: { type: "enabled" as const, budget_tokens: 1024 } };
    const whole = await client(upstream).messages.create(body);
    const streamed = await client(upstream).messages.stream(body).finalMessage();
    expect(whole.content.map((block) => block.type)).toEqual(["thinking", "text"]);
    expect(streamed.content).toEqual(whole.content);
  });

  it("calls a tool that the prompt names, and goes on with its result", async () => {
    await using upstream = await testUpstream();
    const whole = await client(upstream).messages.create({ ...ask("Use get_weather"), tools });
    expect(whole.stop_reason).toBe("tool_use");
    expect(whole.content[0]).toMatchObject({ type: "tool_use", name: "get_weather", input: { city: "demo" } });
    const streamed = await client(upstream)
      .messages.stream({ ...ask("Use get_weather"), tools })
      .finalMessage();
    expect(streamed.content[0]).toMatchObject({ type: "tool_use", input: { city: "demo" } });
    const after = await client(upstream).messages.create({
      ...ask(""),
      tools,
      messages: [
        { role: "user", content: "Use get_weather" },
        { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "get_weather", input: {} }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "sunny" }] },
      ],
    });
    expect(after.content[0]).toMatchObject({ text: expect.stringContaining("sunny") });
  });

  it("sees images", async () => {
    await using upstream = await testUpstream();
    const source = { type: "base64" as const, media_type: "image/png" as const, data: "iVBORw0KGgo=" };
    const content = [
      { type: "image" as const, source },
      { type: "text" as const, text: "What is this?" },
    ];
    const answer = await client(upstream).messages.create({ ...ask(""), messages: [{ role: "user", content }] });
    expect(answer.content[0]).toMatchObject({ text: expect.stringContaining("an image") });
    expect(answer.usage.input_tokens).toBeGreaterThan(1000);
  });

  it("counts tokens as it charges them", async () => {
    await using upstream = await testUpstream();
    const { max_tokens: _, ...body } = ask("How many tokens are these?");
    const counted = await client(upstream).messages.countTokens(body);
    const answer = await client(upstream).messages.create(ask("How many tokens are these?"));
    expect(counted.input_tokens).toBe(answer.usage.input_tokens);
  });

  it("reports the cached tokens that it is told to, beside the input", async () => {
    await using upstream = await testUpstream();
    const answer = await client(upstream).messages.create(ask("[[usage in=1000 out=50 cached=800 cache-write=100]]"));
    expect(answer.usage).toMatchObject({
      input_tokens: 100,
      output_tokens: 50,
      cache_read_input_tokens: 800,
      cache_creation_input_tokens: 100,
    });
    expect(upstream.calls[0]?.usage).toMatchObject({ inputTokens: 1000, outputTokens: 50, cachedInputTokens: 800 });
  });

  it("lists its models", async () => {
    await using upstream = await testUpstream();
    const models = await client(upstream).models.list();
    expect(models.data.map((model) => model.id)).toContain("claude-sonnet-5");
  });

  it("refuses what the API refuses, in its shape", async () => {
    await using upstream = await testUpstream({ badKeys: ["sk-bad"] });
    await expect(client(upstream, "sk-bad").messages.create(ask("Hello"))).rejects.toMatchObject({
      status: 401,
      type: "authentication_error",
    });
    await expect(client(upstream).messages.create({ ...ask("Hello"), model: "nonsense" })).rejects.toMatchObject({
      status: 404,
      type: "not_found_error",
    });
    const system = { ...ask("Hello"), messages: [{ role: "system", content: "Hello" }] } as never;
    await expect(client(upstream).messages.create(system)).rejects.toMatchObject({ type: "invalid_request_error" });
  });

  it("still serves text completions, whole and streamed", async () => {
    await using upstream = await testUpstream();
    const complete = async (stream: boolean): Promise<string> => {
      const answer = await fetch(`${upstream.url}/v1/complete`, {
        method: "POST",
        headers: { "x-api-key": "sk-good" },
        body: JSON.stringify({
          model: "claude-2.0",
          prompt: "\n\nHuman: Hello\n\nAssistant:",
          max_tokens_to_sample: 100,
          stream,
        }),
      });
      return answer.text();
    };
    expect(JSON.parse(await complete(false))).toMatchObject({
      completion: expect.stringContaining("Hello"),
      stop: null,
    });
    expect(await complete(true)).toMatch(/^event: completion\ndata: \{.*"stop_reason":"stop_sequence"/m);
  });
});
