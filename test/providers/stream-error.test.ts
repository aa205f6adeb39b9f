import Anthropic, { APIError } from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { anthropic } from "../../src/providers/anthropic.js";
import { openai } from "../../src/providers/openai.js";

const error = { status: 503, reason: "UPSTREAM_INTERRUPTED", message: "upstream broke off its answer" };

const anthropicEvent =
  'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n';
const openaiEvent =
  'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n';

describe("a stream that breaks off makes the vendor's SDK throw", () => {
  it.each(cuts(anthropicEvent))("Anthropic's, %i bytes into an event", async (cut) => {
    const body = anthropicEvent + anthropicEvent.slice(0, cut) + anthropic.streamError(error);
    const client = new Anthropic({
      apiKey: "k",
      maxRetries: 0,
      fetch: () => Promise.resolve(answer(body)),
      logLevel: "off",
    });
    const stream = await client.messages.create({ model: "m", max_tokens: 1, messages: [], stream: true });
    await expect(drain(stream)).rejects.toThrow(APIError);
  });

  it.each(cuts(openaiEvent))("OpenAI's, %i bytes into an event", async (cut) => {
    const body = openaiEvent + openaiEvent.slice(0, cut) + openai.streamError(error);
    const client = new OpenAI({
      apiKey: "k",
      maxRetries: 0,
      fetch: () => Promise.resolve(answer(body)),
      logLevel: "off",
    });
    const stream = await client.chat.completions.create({ model: "m", messages: [], stream: true });
    await expect(drain(stream)).rejects.toThrow();
  });

  it("tells what happened when the last event was whole", async () => {
    const ofAnthropic = new Anthropic({
      apiKey: "k",
      maxRetries: 0,
      fetch: () => Promise.resolve(answer(anthropicEvent + anthropic.streamError(error))),
    });
    const messages = await ofAnthropic.messages.create({ model: "m", max_tokens: 1, messages: [], stream: true });
    await expect(drain(messages)).rejects.toMatchObject({ type: "overloaded_error", apiMessage: error.message });

    const ofOpenai = new OpenAI({
      apiKey: "k",
      maxRetries: 0,
      fetch: () => Promise.resolve(answer(openaiEvent + openai.streamError(error))),
    });
    const chunks = await ofOpenai.chat.completions.create({ model: "m", messages: [], stream: true });
    await expect(drain(chunks)).rejects.toMatchObject({ code: "upstream_interrupted", message: error.message });
  });
});

function answer(body: string): Response {
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

async function drain(stream: AsyncIterable<unknown>): Promise<number> {
  let events = 0;
  for await (const event of stream) if (event) events++;
  return events;
}

function cuts(text: string): number[] {
  return Array.from({ length: text.length }, (_, cut) => cut);
}
