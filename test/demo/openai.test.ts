import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { testUpstream } from "../helpers/upstream.js";

function client(upstream: DemoUpstream, vendor: "openai" | "fireworks" = "openai", apiKey = "sk-good"): OpenAI {
  return new OpenAI({ baseURL: upstream.baseUrls[vendor], apiKey, maxRetries: 0 });
}

const weather = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
} as const;

describe("the demo upstream as OpenAI", () => {
  it("answers a chat whole, with usage and the user it is for", async () => {
    await using upstream = await testUpstream();
    const answer = await client(upstream).chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "What is a monad?" }],
      user: "acme:42",
    });
    expect(answer.choices[0]?.message.content).toContain("What is a monad?");
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage?.prompt_tokens).toBe(4);
    expect(answer.usage?.total_tokens).toBe(4 + (answer.usage?.completion_tokens ?? 0));
    expect(upstream.calls[0]).toMatchObject({ endUser: "acme:42", key: "sk-good", state: "answered", model: "gpt-4o" });
  });

  it("streams the same text in several deltas, and usage when asked", async () => {
    await using upstream = await testUpstream();
    const body = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }] };
    const whole = await client(upstream).chat.completions.create(body);
    const stream = await client(upstream).chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    const deltas: string[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      deltas.push(chunk.choices[0]?.delta.content ?? "");
      usage = chunk.usage ?? usage;
    }
    expect(deltas.length).toBeGreaterThan(5);
    expect(deltas.join("")).toBe(whole.choices[0]?.message.content);
    expect(deltas.join("")).toMatch(/日本語/);
    expect(usage).toEqual(whole.usage);
  });

  it("streams no usage when not asked", async () => {
    await using upstream = await testUpstream();
    const stream = await client(upstream).chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Hello" }],
      stream: true,
    });
    for await (const chunk of stream) expect(chunk.usage).toBeUndefined();
  });

  it("answers as often as n says", async () => {
    await using upstream = await testUpstream();
    const answer = await client(upstream).chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Hello" }],
      n: 3,
    });
    expect(answer.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
  });

  it("calls a tool that the prompt names, whole and streamed, and goes on with its result", async () => {
    await using upstream = await testUpstream();
    const openai = client(upstream);
    const messages = [{ role: "user" as const, content: "Use get_weather please" }];
    const answer = await openai.chat.completions.create({ model: "gpt-4o", messages, tools: [weather] });
    const call = answer.choices[0]?.message.tool_calls?.[0];
    expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
    expect(call).toMatchObject({ function: { name: "get_weather", arguments: '{"city":"demo"}' } });

    const streamed = await openai.chat.completions
      .stream({ model: "gpt-4o", messages, tools: [weather] })
      .finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { arguments: '{"city":"demo"}' } });

    const after = await openai.chat.completions.create({
      model: "gpt-4o",
      messages: [
        ...messages,
        {
          role: "assistant",
          tool_calls: [{ id: "call_1", type: "function", function: { name: "get_weather", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "call_1", content: "sunny" },
      ],
      tools: [weather],
    });
    expect(after.choices[0]?.message.content).toContain("sunny");
  });

  it("answers in the JSON that was asked for", async () => {
    await using upstream = await testUpstream();
    const schema = { type: "object", properties: { ok: { type: "boolean" }, name: { type: "string" } } };
    const answer = await client(upstream).chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Hello" }],
      response_format: { type: "json_schema", json_schema: { name: "x", schema } },
    });
    expect(JSON.parse(answer.choices[0]?.message.content ?? "")).toEqual({ ok: true, name: "demo" });
  });

  it("stops at max_tokens", async () => {
    await using upstream = await testUpstream();
    const answer = await client(upstream).chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Hello" }],
      max_tokens: 5,
    });
    expect(answer.choices[0]?.finish_reason).toBe("length");
    expect(answer.usage?.completion_tokens).toBe(5);
  });

  it("completes prompts, whole and streamed", async () => {
    await using upstream = await testUpstream();
    for (const vendor of ["openai", "fireworks"] as const) {
      const body = {
        model: vendor === "openai" ? "gpt-3.5-turbo-instruct" : "accounts/fireworks/models/starcoder-16b",
        prompt: "fn add(",
      };
      const whole = await client(upstream, vendor).completions.create(body);
      expect(whole.choices[0]?.text).toContain("return");
      let text = "";
      for await (const chunk of await client(upstream, vendor).completions.create({ ...body, stream: true }))
        text += chunk.choices[0]?.text ?? "";
      expect(text).toBe(whole.choices[0]?.text);
    }
  });

  it("serves the Responses API, whole and streamed, with tools", async () => {
    await using upstream = await testUpstream();
    const openai = client(upstream);
    const whole = await openai.responses.create({ model: "gpt-5", input: "What is a monad?" });
    expect(whole.output_text).toContain("What is a monad?");
    const streamed = await openai.responses.stream({ model: "gpt-5", input: "What is a monad?" }).finalResponse();
    expect(streamed.output_text).toBe(whole.output_text);
    expect(streamed.usage).toEqual(whole.usage);
    const tool = await openai.responses
      .stream({
        model: "gpt-5",
        input: "call get_weather",
        tools: [{ type: "function", name: "get_weather", parameters: weather.function.parameters, strict: false }],
      })
      .finalResponse();
    expect(tool.output[0]).toMatchObject({ type: "function_call", name: "get_weather", arguments: '{"city":"demo"}' });
  });

  it("embeds, as floats and as base64, the same each time", async () => {
    await using upstream = await testUpstream();
    const openai = client(upstream);
    const body = { model: "text-embedding-3-small", input: ["one", "two"] };
    const floats = await openai.embeddings.create({ ...body, encoding_format: "float" });
    const packed = await openai.embeddings.create(body);
    expect(floats.data).toHaveLength(2);
    expect(floats.data[0]?.embedding).toHaveLength(1536);
    expect(packed.data[1]?.embedding[7]).toBeCloseTo(floats.data[1]?.embedding[7] ?? 9, 6);
    expect(floats.usage.prompt_tokens).toBe(2);
  });

  it("lists its models, and knows no others", async () => {
    await using upstream = await testUpstream();
    const models = await client(upstream).models.list();
    expect(models.data.map((model) => model.id)).toContain("gpt-4o");
    const unknown = client(upstream).chat.completions.create({
      model: "nonsense",
      messages: [{ role: "user", content: "?" }],
    });
    await expect(unknown).rejects.toMatchObject({ status: 404, code: "model_not_found" });
  });

  it("refuses a bad key in the vendor's shape", async () => {
    await using upstream = await testUpstream({ badKeys: ["sk-bad"] });
    for (const vendor of ["openai", "fireworks"] as const)
      await expect(client(upstream, vendor, "sk-bad").models.list()).rejects.toMatchObject({ status: 401 });
  });

  it("reports usage at the end of every stream as Fireworks", async () => {
    await using upstream = await testUpstream();
    const stream = await client(upstream, "fireworks").chat.completions.create({
      model: "accounts/fireworks/models/mixtral-8x7b-instruct",
      messages: [{ role: "user", content: "Hello [[usage in=11 out=22]]" }],
      stream: true,
    });
    const reported: unknown[] = [];
    for await (const chunk of stream) if (chunk.usage) reported.push(chunk.usage);
    expect(reported).toMatchObject([{ prompt_tokens: 11, completion_tokens: 22 }]);
  });
});
