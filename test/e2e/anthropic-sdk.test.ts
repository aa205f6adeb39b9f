// The official Anthropic SDK, changed only in base URL and key.

import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { timed } from "../helpers/timed.js";

let gw: TestGateway;
let anthropic: Anthropic;

beforeAll(async () => {
  gw = await testGateway();
  anthropic = new Anthropic({ baseURL: `${gw.url}/anthropic`, apiKey: token, maxRetries: 0 });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const ask = (content: Anthropic.MessageParam["content"]) => ({
  model: "claude-sonnet-4-5",
  max_tokens: 1024,
  messages: [{ role: "user" as const, content }],
});

const weather: Anthropic.Tool = {
  name: "weather",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
};

function textOf(message: Anthropic.Message): string {
  return message.content.map((block) => (block.type === "text" ? block.text : "")).join("");
}

describe("anthropic SDK", () => {
  it("creates a message whole, with the key in either header", async () => {
    const bearer = new Anthropic({ baseURL: `${gw.url}/anthropic`, apiKey: null, authToken: token, maxRetries: 0 });
    for (const client of [anthropic, bearer]) {
      const message = await client.messages.create(ask("[[say Good morning]]"));
      expect(textOf(message)).toBe("Good morning");
    }
    expect(gw.upstream.calls.map(({ key }) => key)).toEqual(["upstream-key-anthropic", "upstream-key-anthropic"]);
  });

  it("streams through its helper, and the event tells the usage the upstream reported", async () => {
    const stream = anthropic.messages.stream(ask("hello [[usage in=11 out=22 cached=3]]"));
    const message = await stream.finalMessage();
    expect(textOf(message)).not.toBe("");
    expect(await gw.event()).toMatchObject({
      outcome: "completed",
      stream: true,
      usage: { outputTokens: 22, cachedInputTokens: 3 },
    });
  });

  it("streams thoughts with their signature, which go back as they came", async () => {
    const thinking = { type: "enabled", budget_tokens: 1024 } as const;
    const first = await anthropic.messages.stream({ ...ask("hello"), max_tokens: 2048, thinking }).finalMessage();
    const [thought] = first.content;
    expect(thought?.type === "thinking" && thought.signature).toBeTruthy();
    const messages: Anthropic.MessageParam[] = [
      { role: "user", content: "hello" },
      { role: "assistant", content: first.content },
      { role: "user", content: "And?" },
    ];
    await anthropic.messages.create({ ...ask(""), max_tokens: 2048, thinking, messages });
    expect(gw.upstream.calls.at(-1)?.json).toMatchObject({ thinking, messages });
  });

  it("does a tool round trip", async () => {
    const first = await anthropic.messages.create({
      ...ask("What is the weather in Bern? [[tool]]"),
      tools: [weather],
    });
    const use = first.content.find((block) => block.type === "tool_use");
    expect(first.stop_reason).toBe("tool_use");
    const second = await anthropic.messages.create({
      model: "claude-sonnet-4-5",
      max_tokens: 1024,
      tools: [weather],
      messages: [
        { role: "user", content: "What is the weather in Bern?" },
        { role: "assistant", content: first.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: use?.id ?? "", content: "sunny" }] },
      ],
    });
    expect(textOf(second)).not.toBe("");
  });

  it("sends images, beta headers and unknown fields untouched", async () => {
    const content: Anthropic.ContentBlockParam[] = [
      { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } },
      { type: "text", text: "What is this?", cache_control: { type: "ephemeral" } },
    ];
    await anthropic.messages.create({ ...ask(content), temperature: 0, some_new_field: { a: 1 } } as never, {
      headers: { "anthropic-beta": "new-thing-2026-01-01" },
    });
    const call = gw.upstream.calls.at(-1);
    expect(call?.json).toEqual({ ...ask(content), temperature: 0, some_new_field: { a: 1 } });
    expect(call?.headers["anthropic-beta"]).toBe("new-thing-2026-01-01");
    expect(call?.headers["anthropic-version"]).toMatch(/^\d{4}-\d\d-\d\d$/);
  });

  it("counts tokens, and a count is no completion", async () => {
    const counted = await anthropic.messages.countTokens({
      model: "claude-sonnet-4-5",
      messages: [{ role: "user", content: "hello" }],
    });
    expect(counted.input_tokens).toBeGreaterThan(0);
  });

  it("raises AuthenticationError, BadRequestError, NotFoundError and InternalServerError", async () => {
    const stranger = new Anthropic({
      baseURL: `${gw.url}/anthropic`,
      apiKey: "nobody-knows-this-key-at-all",
      maxRetries: 0,
    });
    await expect(stranger.messages.create(ask("hello"))).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    await expect(anthropic.messages.create({ ...ask("hello"), model: "gpt-4o" })).rejects.toBeInstanceOf(
      Anthropic.BadRequestError,
    );
    await expect(anthropic.messages.create(ask("hello [[status=404]]"))).rejects.toBeInstanceOf(
      Anthropic.NotFoundError,
    );
    await expect(anthropic.messages.create(ask("hello [[status=500]]"))).rejects.toBeInstanceOf(
      Anthropic.InternalServerError,
    );
    await expect(anthropic.messages.create(ask("hello [[status=529 retry-after=3]]"))).rejects.toMatchObject({
      status: 503,
    });
  });

  it("never sees that the upstream refused the gateway's own key", async () => {
    for (const status of [401, 403]) {
      const refused = anthropic.messages.create(ask(`hello [[status=${status}]]`));
      await expect(refused).rejects.toMatchObject({ status: 502 });
    }
  });

  it("raises when the upstream dies, is cut off or reports an error in a stream", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]", "[[error after=2]]", "[[die after=2 half]]"]) {
      const stream = await anthropic.messages.create({ ...ask(`hello ${directive}`), stream: true });
      const read = async (): Promise<void> => {
        for await (const _ of stream);
      };
      await expect(read(), directive).rejects.toThrow();
    }
  });

  it("lists the models this actor may use", async () => {
    const page = await anthropic.models.list();
    expect(page.data.map(({ id }) => id).every((id) => id.startsWith("claude-"))).toBe(true);
    expect(page.data.length).toBeGreaterThan(0);
  });

  it("aborts the upstream within 100 ms when the caller leaves", async () => {
    const stream = await anthropic.messages.create({ ...ask("hello [[stall after=2]]"), stream: true });
    const call = await gw.upstream.nextCall();
    const events = stream[Symbol.asyncIterator]();
    await events.next();
    const { tookMs } = await timed(() => {
      stream.controller.abort();
      return call.aborted;
    });
    expect(tookMs).toBeLessThan(100);
    expect(await gw.event()).toMatchObject({ outcome: "client_gone" });
  });
});
