// Vercel's AI SDK with its three providers, changed only in base URL and key.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, type LanguageModel, stepCountIs, streamText, tool } from "ai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
let models: Record<string, LanguageModel>;

beforeAll(async () => {
  gw = await testGateway();
  const openai = createOpenAI({ baseURL: `${gw.url}/openai/v1`, apiKey: token });
  models = {
    "openai responses": openai("gpt-5"),
    "openai chat": openai.chat("gpt-4o"),
    anthropic: createAnthropic({ baseURL: `${gw.url}/anthropic/v1`, apiKey: token })("claude-sonnet-4-5"),
    google: createGoogleGenerativeAI({ baseURL: `${gw.url}/google/v1beta`, apiKey: token })("gemini-2.5-flash"),
  };
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

describe.each(["openai responses", "openai chat", "anthropic", "google"])("%s", (name) => {
  const common = () => ({ model: models[name] as LanguageModel, maxRetries: 0 });

  it("generates text", async () => {
    const { text, usage } = await generateText({ ...common(), prompt: "[[say Good morning]]" });
    expect(text).toBe("Good morning");
    expect(await gw.event()).toMatchObject({
      outcome: "completed",
      usage: { inputTokens: usage.inputTokens, outputTokens: usage.outputTokens },
    });
  });

  it("streams text, and tells the usage at its end", async () => {
    const stream = streamText({ ...common(), prompt: "[[say Good morning, Zürich ✓]]" });
    let text = "";
    for await (const delta of stream.textStream) text += delta;
    expect(text).toBe("Good morning, Zürich ✓");
    const usage = await stream.usage;
    expect(await gw.event()).toMatchObject({
      stream: true,
      usage: { inputTokens: usage.inputTokens, outputTokens: usage.outputTokens },
    });
  });

  it("runs a tool and goes on", async () => {
    const asked: string[] = [];
    const { text, steps } = await generateText({
      ...common(),
      prompt: "What is the weather in Bern? [[tool]]",
      stopWhen: stepCountIs(3),
      tools: {
        weather: tool({
          description: "Tells the weather",
          inputSchema: z.object({ city: z.string() }),
          execute: async ({ city }) => {
            asked.push(city);
            return "sunny";
          },
        }),
      },
    });
    expect(asked).toEqual(["demo"]);
    expect(steps).toHaveLength(2);
    expect(text).toBeTruthy();
  });

  it("generates an object", async () => {
    const { object } = await generateObject({
      ...common(),
      schema: z.object({ city: z.string(), warm: z.boolean() }),
      prompt: "Which city?",
    });
    expect(object).toEqual({ city: "demo", warm: true });
  });

  it("is told when a stream breaks off, and of what is refused", async () => {
    const errors: unknown[] = [];
    const broken = streamText({
      ...common(),
      prompt: "hello [[die after=2]]",
      onError: ({ error }) => void errors.push(error),
    });
    await broken.consumeStream();
    expect(errors).toHaveLength(1);
    await expect(generateText({ ...common(), prompt: "[[status=404]]" })).rejects.toMatchObject({ statusCode: 404 });
  });
});
