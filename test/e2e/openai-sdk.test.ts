// The official OpenAI SDK, changed only in base URL and key.

import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { timed } from "../helpers/timed.js";

let gw: TestGateway;
let openai: OpenAI;

beforeAll(async () => {
  gw = await testGateway();
  openai = new OpenAI({ baseURL: `${gw.url}/openai/v1`, apiKey: token, maxRetries: 0 });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const ask = (content: string) => ({ model: "gpt-4o", messages: [{ role: "user" as const, content }] });

const weather: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

describe("openai SDK", () => {
  it("completes a chat whole", async () => {
    const completion = await openai.chat.completions.create(ask("[[say Good morning]]"));
    expect(completion.choices[0]?.message.content).toBe("Good morning");
    expect(completion.usage?.total_tokens).toBeGreaterThan(0);

    const event = await gw.event();
    expect(event).toMatchObject({
      outcome: "completed",
      actor: { id: "acme", source: "static" },
      model: "openai/gpt-4o",
      edge: "sdk",
      charged: true,
      usage: { inputTokens: completion.usage?.prompt_tokens, outputTokens: completion.usage?.completion_tokens },
    });
  });

  it("streams a chat as it is produced", async () => {
    const stream = await openai.chat.completions.create({ ...ask("hello"), stream: true });
    const call = await gw.upstream.nextCall();
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    expect(text).toBe(call.json && (await openai.chat.completions.create(ask("hello"))).choices[0]?.message.content);
  });

  it("shows each delta before the next one is produced", async () => {
    gw.upstream.holdAll();
    const opening = openai.chat.completions.create({ ...ask("hello"), stream: true });
    const call = await gw.upstream.nextCall();
    await call.begin();
    const chunks = (await opening)[Symbol.asyncIterator]();
    for (const word of ["one", "two", "three"]) {
      await call.say(word);
      let content: string | null | undefined;
      while (!content) content = (await chunks.next()).value?.choices[0]?.delta.content;
      expect(content).toBe(word);
    }
    await call.finish();
    let last = await chunks.next();
    while (!last.done) last = await chunks.next();
  });

  it("does a tool round trip", async () => {
    const first = await openai.chat.completions.create({
      ...ask("What is the weather in Bern? [[tool]]"),
      tools: [weather],
    });
    const call = first.choices[0]?.message.tool_calls?.[0];
    expect(first.choices[0]?.finish_reason).toBe("tool_calls");
    expect(call?.type === "function" && call.function.name).toBe("weather");

    const second = await openai.chat.completions.create({
      model: "gpt-4o",
      tools: [weather],
      messages: [
        { role: "user", content: "What is the weather in Bern?" },
        first.choices[0]?.message as OpenAI.ChatCompletionMessage,
        { role: "tool", tool_call_id: call?.id ?? "", content: "sunny" },
      ],
    });
    expect(second.choices[0]?.message.content).toBeTruthy();
    const sent = gw.upstream.calls.at(-1)?.json as { messages: unknown[] };
    expect(sent.messages).toHaveLength(3);
  });

  it("sends images untouched", async () => {
    const url = `data:image/png;base64,${"iVBORw0KGgo=".repeat(100)}`;
    const content = [
      { type: "text" as const, text: "What is this?" },
      { type: "image_url" as const, image_url: { url } },
    ];
    await openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content }] });
    const sent = gw.upstream.calls.at(-1)?.json as { messages: { content: unknown }[] };
    expect(sent.messages[0]?.content).toEqual(content);
  });

  it("raises AuthenticationError for an unknown key, and nothing reaches the upstream", async () => {
    const stranger = new OpenAI({
      baseURL: `${gw.url}/openai/v1`,
      apiKey: "nobody-knows-this-key-at-all",
      maxRetries: 0,
    });
    await expect(stranger.chat.completions.create(ask("hello"))).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it("raises BadRequestError for a model that is not allowed, naming those that are", async () => {
    const refused = openai.chat.completions.create({ ...ask("hello"), model: "davinci" });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(refused).rejects.toThrow(/openai\/davinci.*allowed: \[openai\/gpt-\*/);
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it("raises NotFoundError with the upstream's words for a model that it does not have", async () => {
    const missing = openai.chat.completions.create({ ...ask("hello [[status=404]]") });
    await expect(missing).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect(await gw.event()).toMatchObject({ outcome: "failed", upstreamStatus: 404, charged: false });
  });

  it("gets 503 with the upstream's hint when the upstream is out of capacity", async () => {
    const busy = openai.chat.completions.create(ask("hello [[status=429 retry-after=7]]"));
    await expect(busy).rejects.toMatchObject({ status: 503 });
    const headers = (await busy.catch((error: InstanceType<typeof OpenAI.APIError>) => error.headers)) as Headers;
    expect(headers.get("retry-after")).toBe("7");
  });

  it("raises InternalServerError when the upstream fails, and is not charged", async () => {
    await expect(openai.chat.completions.create(ask("hello [[status=500]]"))).rejects.toBeInstanceOf(
      OpenAI.InternalServerError,
    );
    expect(await gw.event()).toMatchObject({ outcome: "failed", upstreamStatus: 500, charged: false });
  });

  it("raises when the upstream dies, is cut off or reports an error in a stream", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]", "[[error after=2]]", "[[die after=2 half]]"]) {
      const stream = await openai.chat.completions.create({ ...ask(`hello ${directive}`), stream: true });
      const read = async (): Promise<void> => {
        for await (const _ of stream);
      };
      await expect(read(), directive).rejects.toThrow();
    }
  });

  it("lists the models this actor may use", async () => {
    const names: string[] = [];
    for await (const model of openai.models.list()) names.push(model.id);
    expect(names).toContain("gpt-4o");
    expect(names).not.toContain("text-embedding-3-small");
  });

  it("aborts the upstream within 100 ms when the caller leaves", async () => {
    const abort = new AbortController();
    const stream = await openai.chat.completions.create(
      { ...ask("hello [[stall after=2]]"), stream: true },
      { signal: abort.signal },
    );
    const call = await gw.upstream.nextCall();
    const chunks = stream[Symbol.asyncIterator]();
    await chunks.next();
    const { tookMs } = await timed(() => {
      abort.abort();
      return call.aborted;
    });
    expect(tookMs).toBeLessThan(100);
    expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: true });
  });
});
