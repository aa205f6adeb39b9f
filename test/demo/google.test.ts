import { describe, expect, it } from "vitest";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { testUpstream } from "../helpers/upstream.js";

const contents = [{ role: "user", parts: [{ text: "What is a monad?" }] }];

async function post(upstream: DemoUpstream, method: string, body: object, version = "v1beta"): Promise<Response> {
  return fetch(`${upstream.baseUrls.google}/${version}/models/${method}`, {
    method: "POST",
    headers: { "x-goog-api-key": "good" },
    body: JSON.stringify(body),
  });
}

interface Generated {
  candidates: { content: { parts: { text?: string; functionCall?: object }[] }; finishReason?: string }[];
  usageMetadata: { promptTokenCount: number; candidatesTokenCount: number; totalTokenCount: number };
}

function textOf(...chunks: Generated[]): string {
  return chunks.map((chunk) => chunk.candidates[0]?.content.parts.map((part) => part.text ?? "").join("")).join("");
}

describe("the demo upstream as Google", () => {
  it("generates, whole and streamed, by either version of the path", async () => {
    await using upstream = await testUpstream();
    const whole = (await (await post(upstream, "gemini-2.5-flash:generateContent", { contents })).json()) as Generated;
    expect(textOf(whole)).toContain("What is a monad?");
    expect(whole.candidates[0]?.finishReason).toBe("STOP");
    const answer = await post(upstream, "gemini-2.5-flash:streamGenerateContent?alt=sse", { contents }, "v1");
    const events = (await answer.text()).trim().split("\n\n");
    const chunks = events.map((event) => JSON.parse(event.replace("data: ", "")) as Generated);
    expect(chunks.length).toBeGreaterThan(5);
    expect(textOf(...chunks)).toBe(textOf(whole));
    expect(chunks.at(-1)?.usageMetadata).toEqual(whole.usageMetadata);
  });

  it("streams a JSON array when server-sent events are not asked for", async () => {
    await using upstream = await testUpstream();
    const answer = await post(upstream, "gemini-2.5-flash:streamGenerateContent", { contents });
    const chunks = (await answer.json()) as Generated[];
    expect(textOf(...chunks)).toContain("What is a monad?");
  });

  it("calls functions", async () => {
    await using upstream = await testUpstream();
    const functionDeclarations = [
      { name: "get_weather", parameters: { type: "OBJECT", properties: { city: { type: "STRING" } } } },
    ];
    const body = {
      contents,
      tools: [{ functionDeclarations }],
      toolConfig: { functionCallingConfig: { mode: "ANY" } },
    };
    const whole = (await (await post(upstream, "gemini-2.5-flash:generateContent", body)).json()) as Generated;
    expect(whole.candidates[0]?.content.parts).toEqual([
      { functionCall: { name: "get_weather", args: { city: "demo" } } },
    ]);
  });

  it("counts, embeds and lists", async () => {
    await using upstream = await testUpstream();
    const counted = await (await post(upstream, "gemini-2.5-flash:countTokens", { contents })).json();
    expect(counted).toMatchObject({ totalTokens: 4 });
    const [content] = contents;
    const one = await (await post(upstream, "text-embedding-004:embedContent", { content })).json();
    const batch = await (
      await post(upstream, "text-embedding-004:batchEmbedContents", {
        requests: [{ model: "models/text-embedding-004", content }],
      })
    ).json();
    expect((one as { embedding: { values: number[] } }).embedding.values).toHaveLength(768);
    expect((batch as { embeddings: object[] }).embeddings[0]).toEqual((one as { embedding: object }).embedding);
    const listed = await fetch(`${upstream.url}/v1beta/models?key=good`);
    expect(((await listed.json()) as { models: { name: string }[] }).models[0]?.name).toBe("models/gemini-2.5-pro");
  });

  it("refuses in the vendor's shape", async () => {
    await using upstream = await testUpstream();
    const refused = await fetch(`${upstream.url}/v1beta/models`);
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ error: { code: 401, status: "UNAUTHENTICATED" } });
    const stream = await post(upstream, "gemini-2.5-flash:generateContent", { contents, stream: true });
    expect(await stream.json()).toMatchObject({ error: { code: 400, status: "INVALID_ARGUMENT" } });
  });
});
