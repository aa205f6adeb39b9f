// The official OpenAI SDK's newer and older APIs, changed only in base URL and key: responses, completions, its helpers for
// structured output and streams; and the same SDK against Fireworks.

import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
let openai: OpenAI;
let fireworks: OpenAI;

beforeAll(async () => {
  gw = await testGateway();
  openai = new OpenAI({ baseURL: `${gw.url}/openai/v1`, apiKey: token, maxRetries: 0, logLevel: "off" });
  fireworks = new OpenAI({ baseURL: `${gw.url}/fireworks/v1`, apiKey: token, maxRetries: 0, logLevel: "off" });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const model = "gpt-5";

const weather: OpenAI.Responses.FunctionTool = {
  type: "function",
  name: "weather",
  parameters: { type: "object", properties: { city: { type: "string" } } },
  strict: false,
};

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

describe("responses", () => {
  it("answer whole, and the event tells what they used", async () => {
    const response = await openai.responses.create({
      model,
      instructions: "Be brief",
      input: "[[say Good morning]] [[usage in=11 out=22 cached=3 reasoning=5]]",
    });
    expect(response.output_text).toBe("Good morning");
    expect(gw.upstream.calls[0]).toMatchObject({ path: "/v1/responses", key: "upstream-key-openai" });
    expect(await gw.event()).toMatchObject({
      outcome: "completed",
      model: `openai/${model}`,
      feature: "chat_completions",
      charged: true,
      usage: { inputTokens: 11, outputTokens: 22, cachedInputTokens: 3, reasoningTokens: 5 },
    });
  });

  it("stream through the helper, thoughts included", async () => {
    const stream = openai.responses.stream({ model, input: "hello", reasoning: { summary: "auto" } });
    const kinds = new Set<string>();
    for await (const event of stream) kinds.add(event.type);
    const response = await stream.finalResponse();
    expect(response.output.map(({ type }) => type)).toEqual(["reasoning", "message"]);
    expect(kinds).toContain("response.reasoning_summary_text.delta");
    const { usage } = await gw.event();
    expect(usage).toMatchObject({
      inputTokens: response.usage?.input_tokens,
      outputTokens: response.usage?.output_tokens,
      reasoningTokens: response.usage?.output_tokens_details.reasoning_tokens,
    });
  });

  it("are counted though their last event is long", async () => {
    const input = "x".repeat(300_000);
    const stream = await openai.responses.create({ model, input: `[[chunks=400 bytes=512]] ${input}`, stream: true });
    await drain(stream);
    expect(await gw.event()).toMatchObject({
      outcome: "completed",
      usage: { inputTokens: expect.any(Number) as number },
    });
  });

  it("do a tool round trip", async () => {
    const question = { role: "user" as const, content: "What is the weather in Bern? [[tool]]" };
    const first = await openai.responses.create({ model, input: [question], tools: [weather] });
    const call = first.output.find((item) => item.type === "function_call");
    expect(call?.name).toBe("weather");
    const second = await openai.responses.create({
      model,
      tools: [weather],
      input: [
        question,
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: "function_call_output", call_id: call?.call_id ?? "", output: "sunny" },
      ],
    });
    expect(second.output_text).toBeTruthy();
  });

  it("parse into what a schema says", async () => {
    const schema = z.object({ city: z.string(), warm: z.boolean() });
    const response = await openai.responses.parse({
      model,
      input: "Which city?",
      text: { format: zodTextFormat(schema, "city") },
    });
    expect(schema.parse(response.output_parsed)).toEqual(response.output_parsed);
  });

  it("raise when the upstream dies, is cut off or reports an error in a stream", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]", "[[die after=2 half]]"]) {
      const stream = await openai.responses.create({ model, input: `hello ${directive}`, stream: true });
      await expect(drain(stream), directive).rejects.toThrow();
      expect(await gw.event(({ outcome }) => outcome === "failed")).toMatchObject({ reason: "UPSTREAM_INTERRUPTED" });
      gw.reset();
    }
    // An event of this API, which its SDK hands on as one.
    const stream = await openai.responses.create({ model, input: "hello [[error after=2]]", stream: true });
    const kinds: string[] = [];
    for await (const { type } of stream) kinds.push(type);
    expect(kinds.at(-1)).toBe("error");
    expect(await gw.event()).toMatchObject({ outcome: "failed", reason: "UPSTREAM_INTERRUPTED" });
  });

  it("cannot be left to run in the background, where nobody would count them", async () => {
    const refused = openai.responses.create({ model, input: "hello", background: true });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it("raise typed errors", async () => {
    const ask = (input: string, name = model) => openai.responses.create({ model: name, input });
    await expect(ask("hi", "davinci")).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(ask("[[status=404]]")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(ask("[[status=500]]")).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    await expect(ask("[[status=429 retry-after=7]]")).rejects.toMatchObject({ status: 503 });
  });
});

describe("helpers for chats", () => {
  const ask = (content: string) => ({ model, messages: [{ role: "user" as const, content }] });

  it("parse into what a schema says", async () => {
    const schema = z.object({ city: z.string() });
    const completion = await openai.chat.completions.parse({
      ...ask("Which city?"),
      response_format: zodResponseFormat(schema, "city"),
    });
    expect(completion.choices[0]?.message.parsed).toEqual({ city: "demo" });
  });

  it("stream, and run tools", async () => {
    const stream = openai.chat.completions.stream(ask("[[say Good morning]]"));
    expect(await stream.finalContent()).toBe("Good morning");

    const asked: string[] = [];
    const runner = openai.chat.completions.runTools({
      ...ask("What is the weather in Bern? [[tool]]"),
      tools: [
        zodFunction({
          name: "weather",
          parameters: z.object({ city: z.string() }),
          function: ({ city }) => {
            asked.push(city);
            return "sunny";
          },
        }),
      ],
    });
    expect(await runner.finalContent()).toBeTruthy();
    expect(asked).toEqual(["demo"]);
  });

  it("get the usage of a stream when they ask, and no chunk of it when they do not", async () => {
    const chunks = async (more: object): Promise<OpenAI.ChatCompletionChunk[]> => {
      const all = [];
      const stream = await openai.chat.completions.create({ ...ask("hello"), stream: true, ...more });
      for await (const chunk of stream) all.push(chunk);
      return all;
    };
    const asked = await chunks({ stream_options: { include_usage: true } });
    expect(asked.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: expect.any(Number) as number } });
    for (const more of [{}, { stream_options: { include_usage: false } }]) {
      const plain = await chunks(more);
      expect(plain.every(({ choices }) => choices.length > 0)).toBe(true);
      expect(gw.upstream.calls.at(-1)?.json).toMatchObject({ stream_options: { include_usage: true } });
    }
    const events = await Promise.all([0, 1, 2].map((index) => gw.event((event) => event === gw.events[index])));
    for (const { usage } of events) expect(usage.outputTokens).toBeGreaterThan(0);
  });
});

describe.each(["openai", "fireworks"])("completions of %s", (name) => {
  const sdk = () => (name === "openai" ? openai : fireworks);
  const prompted = name === "openai" ? "gpt-3.5-turbo-instruct" : "accounts/fireworks/models/starcoder-16b";

  it("continue a prompt, whole and as a stream, as code completions", async () => {
    const whole = await sdk().completions.create({ model: prompted, prompt: "function add(" });
    expect(whole.choices[0]?.text).toContain("demo upstream");
    expect(await gw.event()).toMatchObject({ feature: "code_completions", charged: true });
    gw.reset();
    const stream = await sdk().completions.create({ model: prompted, prompt: "function add(", stream: true });
    let text = "";
    for await (const chunk of stream) {
      expect(chunk.choices.length).toBeGreaterThan(0);
      text += chunk.choices[0]?.text ?? "";
    }
    expect(text).toBe(whole.choices[0]?.text);
    const { usage } = await gw.event();
    expect(usage).toMatchObject({
      inputTokens: whole.usage?.prompt_tokens,
      outputTokens: whole.usage?.completion_tokens,
    });
  });

  it("raise when the upstream dies or is cut off in a stream", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]"]) {
      const stream = await sdk().completions.create({ model: prompted, prompt: directive, stream: true });
      await expect(drain(stream), directive).rejects.toThrow();
    }
  });
});

describe("fireworks", () => {
  const llama = "accounts/fireworks/models/llama-v3p1-70b-instruct";

  it("chats, whole and as a stream, with the usage of its last chunk", async () => {
    const ask = { model: llama, messages: [{ role: "user" as const, content: "[[say Good morning]]" }] };
    const whole = await fireworks.chat.completions.create(ask);
    expect(whole.choices[0]?.message.content).toBe("Good morning");
    gw.reset();
    const stream = await fireworks.chat.completions.create({ ...ask, stream: true });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.at(-1)?.usage?.prompt_tokens).toBe(whole.usage?.prompt_tokens);
    const call = gw.upstream.calls[0];
    expect(call).toMatchObject({ path: "/inference/v1/chat/completions", key: "upstream-key-fireworks" });
    expect(call?.json).toEqual({ ...ask, stream: true });
    expect(await gw.event()).toMatchObject({
      provider: "fireworks",
      model: `fireworks/${llama}`,
      usage: { inputTokens: whole.usage?.prompt_tokens, outputTokens: whole.usage?.completion_tokens },
    });
  });

  it("cannot be told to keep its usage to itself", async () => {
    const messages = [{ role: "user" as const, content: "hello" }];
    const options = { stream: true as const, stream_options: { include_usage: false } };
    await drain(await fireworks.chat.completions.create({ model: llama, messages, ...options }));
    expect(gw.upstream.calls[0]?.json).toMatchObject({ stream_options: { include_usage: true } });
  });

  it("lists models and raises typed errors", async () => {
    const names: string[] = [];
    for await (const { id } of fireworks.models.list()) names.push(id);
    expect(names).toContain(llama);
    expect(names).toContain("starcoder");
    const refused = fireworks.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }] });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  });
});
