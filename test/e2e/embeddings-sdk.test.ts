// Embeddings by the official SDKs, changed only in base URL and key.

import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { GoogleGenAI } from "@google/genai";
import { embed, embedMany } from "ai";
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
let openai: OpenAI;
let google: GoogleGenAI;

beforeAll(async () => {
  gw = await testGateway({
    actor: {
      limits: { chat_completions: [], embeddings: [{ limit: 100_000_000, unit: "tokens", per: "24h" }] },
      models: { embeddings: ["*"] },
    },
    file: (upstream) => ({
      providers: [
        {
          name: "local",
          kind: "openai-compatible",
          baseUrl: upstream.baseUrls.openai,
          keys: [{ ref: "env:ACME_TOKEN" }],
          models: ["demo-*"],
          embeddings: { models: ["demo-*"], inputsPerCall: 3 },
        },
      ],
    }),
  });
  openai = new OpenAI({ baseURL: `${gw.url}/openai/v1`, apiKey: token, maxRetries: 0 });
  google = new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: `${gw.url}/google` } });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const model = "text-embedding-3-small";
const texts = (count: number): string[] => Array.from({ length: count }, (_, index) => `text number ${index}`);

/** What was charged of the actor's limit so far. */
async function used(): Promise<number> {
  const answer = await fetch(`${gw.url}/v1/limits`, { headers: { authorization: `Bearer ${token}` } });
  return ((await answer.json()) as { embeddings: { usage: number } }).embeddings.usage;
}

describe("openai SDK", () => {
  it("embeds as floats and, as it does by itself, as base64", async () => {
    const before = await used();
    const floats = await openai.embeddings.create({ model, input: ["one", "two"], encoding_format: "float" });
    const packed = await openai.embeddings.create({ model, input: ["one", "two"] });

    expect(floats.data.map(({ embedding }) => embedding.length)).toEqual([1536, 1536]);
    const exact = floats.data.map(({ embedding }) => [...Float32Array.from(embedding)]);
    expect(packed.data.map(({ embedding }) => embedding)).toEqual(exact);
    expect(gw.upstream.calls.map((call) => (call.json as { encoding_format: string }).encoding_format)).toEqual([
      "float",
      "base64",
    ]);
    expect(await gw.event()).toMatchObject({
      feature: "embeddings",
      edge: "sdk",
      model: `openai/${model}`,
      outcome: "completed",
      charged: true,
      usage: { inputTokens: floats.usage.total_tokens, outputTokens: 0 },
    });
    expect((await used()) - before).toBe(floats.usage.total_tokens + packed.usage.total_tokens);
  });

  it("embeds a thousand texts in calls that the upstream takes, in their order, charged once", async () => {
    const before = await used();
    const input = texts(1_100);
    const many = await openai.embeddings.create({ model, input, dimensions: 4, encoding_format: "float" });

    const sizes = gw.upstream.calls.map((call) => (call.json as { input: string[] }).input.length);
    expect(sizes.toSorted((a, b) => b - a)).toEqual([512, 512, 76]);
    expect(many.data.map(({ index }) => index)).toEqual(input.map((_, index) => index));
    for (const index of [0, 511, 512, 1_023, 1_024, 1_099]) {
      const one = await openai.embeddings.create({
        model,
        input: input[index] ?? "",
        dimensions: 4,
        encoding_format: "float",
      });
      expect(many.data[index]?.embedding, String(index)).toEqual(one.data[0]?.embedding);
    }
    await gw.event(({ usage }) => usage.inputTokens === many.usage.total_tokens);
    expect(gw.events.filter(({ usage }) => (usage.inputTokens ?? 0) > 1_000)).toHaveLength(1);
    expect((await used()) - before).toBeGreaterThanOrEqual(many.usage.total_tokens);
  });

  it("embeds texts that were cut into tokens", async () => {
    const answer = await openai.embeddings.create({ model, input: [[1, 2, 3], [4]], dimensions: 4 });
    expect(answer.data).toHaveLength(2);
    expect(gw.upstream.calls[0]?.json as object).toMatchObject({ input: [[1, 2, 3], [4]], dimensions: 4 });
  });

  it("is told of the upstream's refusal in its own words, and is not charged", async () => {
    const before = await used();
    const refused = openai.embeddings.create({ model, input: ["fine", ""] });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(refused).rejects.toThrow("'$.input' is invalid.");
    expect(await gw.event()).toMatchObject({ outcome: "failed", upstreamStatus: 400, charged: false });
    expect(await used()).toBe(before);
  });

  it("is not charged where one call of several fails, and the others are ended", async () => {
    const before = await used();
    gw.upstream.script(
      (call) =>
        (call.json as { input: string[] }).input.includes("text number 600") ? { status: 500 } : { stallAfter: 0 },
      3,
    );
    await expect(openai.embeddings.create({ model, input: texts(1_100), dimensions: 4 })).rejects.toBeInstanceOf(
      OpenAI.InternalServerError,
    );
    await gw.upstream.waitFor(({ state }) => state === "aborted");
    expect(await gw.event()).toMatchObject({ outcome: "failed", charged: false });
    expect(await used()).toBe(before);
  });

  it("ends all calls when it leaves, and is not charged", async () => {
    const before = await used();
    gw.upstream.holdAll();
    const left = new AbortController();
    const asked = openai.embeddings.create({ model, input: texts(1_100), dimensions: 4 }, { signal: left.signal });
    const calls = [await gw.upstream.nextCall(), await gw.upstream.nextCall(), await gw.upstream.nextCall()];
    left.abort();
    await expect(asked).rejects.toThrow();
    await Promise.all(calls.map((call) => call.aborted));
    expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: false });
    expect(await used()).toBe(before);
  });

  it("may use embeddings models for embeddings only, and others for completions only", async () => {
    await expect(openai.embeddings.create({ model: "gpt-4o", input: "text" })).rejects.toThrow(/not allowed/);
    const chat = openai.chat.completions.create({ model, messages: [{ role: "user", content: "hi" }] });
    await expect(chat).rejects.toThrow(/not allowed/);
    expect(gw.upstream.calls).toEqual([]);
    const names: string[] = [];
    for await (const each of openai.models.list()) names.push(each.id);
    expect(names).toEqual(expect.arrayContaining(["gpt-4o", model]));
  });
});

describe("@google/genai SDK", () => {
  const gemini = "gemini-embedding-001";

  it("embeds one text and several, whose tokens the gateway counts", async () => {
    const one = await google.models.embedContent({ model: gemini, contents: "hello there" });
    expect(one.embeddings?.[0]?.values).toHaveLength(3072);
    const several = await google.models.embedContent({
      model: gemini,
      contents: ["hello there", "good night"],
      config: { outputDimensionality: 8, taskType: "RETRIEVAL_QUERY" },
    });
    expect(several.embeddings?.map(({ values }) => values?.length)).toEqual([8, 8]);
    expect((gw.upstream.calls.at(-1)?.json as { requests: object[] } | undefined)?.requests[1]).toMatchObject({
      content: { parts: [{ text: "good night" }] },
      outputDimensionality: 8,
      taskType: "RETRIEVAL_QUERY",
    });
    expect(await gw.event(({ usage }) => usage.inputTokens === 4)).toMatchObject({
      feature: "embeddings",
      model: `google/${gemini}`,
      charged: true,
    });
  });

  it("embeds more at once than Google takes in one call", async () => {
    const contents = texts(250);
    const before = await used();
    const many = await google.models.embedContent({ model: gemini, contents, config: { outputDimensionality: 4 } });
    const sizes = gw.upstream.calls.map((call) => (call.json as { requests: object[] }).requests.length);
    expect(sizes.toSorted((a, b) => b - a)).toEqual([100, 100, 50]);
    for (const index of [0, 99, 100, 249]) {
      const one = await google.models.embedContent({
        model: gemini,
        contents: contents[index] ?? "",
        config: { outputDimensionality: 4 },
      });
      expect(many.embeddings?.[index]?.values, String(index)).toEqual(one.embeddings?.[0]?.values);
    }
    expect((await used()) - before).toBeGreaterThan(250);
  });

  it("calls embedContent, of which the path says the model", async () => {
    const call = (body: object) =>
      fetch(`${gw.url}/google/v1beta/models/${gemini}:embedContent`, {
        method: "POST",
        headers: { "x-goog-api-key": token },
        body: JSON.stringify(body),
      });
    const content = { parts: [{ text: "hello there" }] };
    const answer = await call({ content, outputDimensionality: 4 });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-cody-resolved-model")).toBe(`google/${gemini}`);
    expect(answer.headers.get("x-token-usage")).toBe("2");
    expect(((await answer.json()) as { embedding: { values: number[] } }).embedding.values).toHaveLength(4);

    const other = await call({ content, model: "models/gemini-embedding-2" });
    expect(other.status).toBe(400);
    expect(((await other.json()) as { error: { message: string } }).error.message).toMatch(/model of the path/);
  });

  it("may not name another model inside a batch", async () => {
    const answer = await fetch(`${gw.url}/google/v1beta/models/${gemini}:batchEmbedContents`, {
      method: "POST",
      headers: { "x-goog-api-key": token },
      body: JSON.stringify({
        requests: [
          { model: `models/${gemini}`, content: { parts: [{ text: "a" }] } },
          { model: "models/gemini-2.5-pro", content: { parts: [{ text: "b" }] } },
        ],
      }),
    });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { error: { message: string } }).error.message).toBe(
      "requests[1].model must be the model of the path",
    );
    expect(gw.upstream.calls).toEqual([]);
  });
});

describe("AI SDK", () => {
  it("embeds one and many by OpenAI's models", async () => {
    const provider = createOpenAI({ baseURL: `${gw.url}/openai/v1`, apiKey: token });
    const values = texts(5);
    const many = await embedMany({ model: provider.embeddingModel(model), values });
    expect(many.embeddings).toHaveLength(5);
    const one = await embed({ model: provider.embeddingModel(model), value: values[3] ?? "" });
    expect(many.embeddings[3]).toEqual(one.embedding);
    expect((await gw.event()).usage.inputTokens).toBe(many.usage.tokens);
  });

  it("embeds many by Google's models", async () => {
    const provider = createGoogleGenerativeAI({ baseURL: `${gw.url}/google/v1beta`, apiKey: token });
    const many = await embedMany({ model: provider.embeddingModel("gemini-embedding-001"), values: texts(3) });
    expect(many.embeddings.map(({ length }) => length)).toEqual([3072, 3072, 3072]);
  });

  it("embeds many by an OpenAI-compatible server that takes three at once and counts no tokens", async () => {
    const provider = createOpenAI({ baseURL: `${gw.url}/local/v1`, apiKey: token });
    gw.upstream.script({ noUsage: true }, 3);
    const before = await used();
    const many = await embedMany({ model: provider.embeddingModel("demo-embed"), values: texts(8) });
    expect(many.embeddings).toHaveLength(8);
    // They are under way together, and arrive in any order.
    const sizes = gw.upstream.calls.map((call) => (call.json as { input: string[] }).input.length);
    expect(sizes.toSorted()).toEqual([2, 3, 3]);
    const { usage } = await gw.event();
    expect(usage.inputTokens).toBeGreaterThanOrEqual(24);
    expect(many.usage.tokens).toBe(usage.inputTokens);
    expect((await used()) - before).toBe(usage.inputTokens);
  });

  it("has at most four calls of one request under way", async () => {
    gw.upstream.holdAll();
    const provider = createOpenAI({ baseURL: `${gw.url}/local/v1`, apiKey: token });
    const asked = embedMany({ model: provider.embeddingModel("demo-embed"), values: texts(30) });
    for (let call = 0; call < 4; call++) await gw.upstream.nextCall();
    // Whatever else was to come has come by the time that others were answered.
    for (let other = 0; other < 5; other++) await used();
    expect(gw.upstream.calls).toHaveLength(4);
    gw.upstream.release();
    expect((await asked).embeddings).toHaveLength(30);
    expect(gw.upstream.calls).toHaveLength(10);
    expect(gw.upstream.highWater()).toBeLessThanOrEqual(4);
  });

  it("embeds by Fireworks' models", async () => {
    const provider = createOpenAI({ baseURL: `${gw.url}/fireworks/v1`, apiKey: token });
    const value = "hello there";
    const { embedding } = await embed({ model: provider.embeddingModel("nomic-ai/nomic-embed-text-v1.5"), value });
    expect(embedding).toHaveLength(768);
    expect(await gw.event()).toMatchObject({ model: "fireworks/nomic-ai/nomic-embed-text-v1.5", charged: true });
  });
});
