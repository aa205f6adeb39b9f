// The official Google SDK, changed only in base URL and key; and plain requests as Google's documentation has them.

import { ApiError, type GenerateContentResponse, GoogleGenAI, Type } from "@google/genai";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
let google: GoogleGenAI;

const client = (apiKey: string, apiVersion?: string): GoogleGenAI =>
  new GoogleGenAI({
    apiKey,
    ...(apiVersion !== undefined && { apiVersion }),
    httpOptions: { baseUrl: `${gw.url}/google`, retryOptions: { attempts: 1 } },
  });

beforeAll(async () => {
  gw = await testGateway();
  google = client(token);
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const model = "gemini-2.5-flash";

const weather = {
  name: "weather",
  description: "Tells the weather",
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } } },
};

async function collect(stream: AsyncGenerator<GenerateContentResponse>): Promise<GenerateContentResponse[]> {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe("google SDK", () => {
  it.each([undefined, "v1", "v1beta"])("generates whole and as a stream, version %s", async (version) => {
    const versioned = client(token, version);
    const whole = await versioned.models.generateContent({ model, contents: "[[say Good morning]]" });
    expect(whole.text).toBe("Good morning");
    const chunks = await collect(await versioned.models.generateContentStream({ model, contents: "[[say Good day]]" }));
    expect(chunks.map(({ text }) => text ?? "").join("")).toBe("Good day");

    const path = `/${version ?? "v1beta"}/models/${model}`;
    expect(gw.upstream.calls.map((call) => call.path)).toEqual([
      `${path}:generateContent`,
      `${path}:streamGenerateContent?alt=sse`,
    ]);
    for (const call of gw.upstream.calls) {
      expect(call.key).toBe("upstream-key-google");
      expect(JSON.stringify(call.rawHeaders) + call.path).not.toContain(token);
    }
  });

  it("tells in the event what the last chunk told", async () => {
    const contents = "hello [[usage in=11 out=22 cached=3 reasoning=5]]";
    const chunks = await collect(await google.models.generateContentStream({ model, contents }));
    const told = chunks.at(-1)?.usageMetadata;
    expect(told).toMatchObject({ promptTokenCount: 11, candidatesTokenCount: 17, thoughtsTokenCount: 5 });
    expect(await gw.event()).toMatchObject({
      outcome: "completed",
      edge: "sdk",
      feature: "chat_completions",
      model: `google/${model}`,
      charged: true,
      stream: true,
      usage: { inputTokens: 11, outputTokens: 22, cachedInputTokens: 3, reasoningTokens: 5 },
    });
  });

  it("does a tool round trip, system instruction and thoughts included", async () => {
    const config = {
      systemInstruction: "Be brief",
      tools: [{ functionDeclarations: [weather] }],
      thinkingConfig: { includeThoughts: true },
    };
    const contents = [{ role: "user", parts: [{ text: "What is the weather in Bern? [[tool]]" }] }];
    const first = await google.models.generateContent({ model, contents, config });
    const [call] = first.functionCalls ?? [];
    expect(call?.name).toBe("weather");
    const second = await google.models.generateContent({
      model,
      config,
      contents: [
        ...contents,
        first.candidates?.[0]?.content ?? {},
        { role: "user", parts: [{ functionResponse: { name: "weather", response: { output: "sunny" } } }] },
      ],
    });
    expect(second.text).toBeTruthy();
    const sent = gw.upstream.calls.at(-1)?.json as { contents: unknown[]; systemInstruction: unknown };
    expect(sent.contents).toHaveLength(3);
    expect(sent.systemInstruction).toMatchObject({ parts: [{ text: "Be brief" }] });
  });

  it("keeps to a schema, and sees pictures", async () => {
    const config = {
      responseMimeType: "application/json",
      responseSchema: { type: Type.OBJECT, properties: { city: { type: Type.STRING } } },
    };
    const picture = { inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" } };
    const contents = [{ role: "user", parts: [picture, { text: "Where is this?" }] }];
    const answer = await google.models.generateContent({ model, contents, config });
    expect(JSON.parse(answer.text ?? "")).toHaveProperty("city");
    const sent = gw.upstream.calls[0]?.json as { contents: { parts: unknown[] }[] };
    expect(sent.contents[0]?.parts[0]).toEqual(picture);
  });

  it("chats with its helper", async () => {
    const chat = google.chats.create({ model });
    await chat.sendMessage({ message: "[[say one]]" });
    await collect(await chat.sendMessageStream({ message: "[[say two]]" }));
    expect(chat.getHistory().at(-1)?.role).toBe("model");
    const sent = gw.upstream.calls.at(-1)?.json as { contents: { role: string }[] };
    expect(sent.contents.map(({ role }) => role)).toEqual(["user", "model", "user"]);
  });

  it("counts tokens, and a count is no completion", async () => {
    const { totalTokens } = await google.models.countTokens({ model, contents: "hello there" });
    expect(totalTokens).toBeGreaterThan(0);
    expect(await gw.event()).toMatchObject({ outcome: "completed", charged: false, usage: {} });
  });

  it("lists the models this actor may use", async () => {
    const names: string[] = [];
    for await (const listed of await google.models.list()) names.push(listed.name ?? "");
    expect(names).toContain(`models/${model}`);
    expect(names.some((name) => name.includes("embedding"))).toBe(false);
  });

  it("raises ApiError with status and words for what is refused", async () => {
    const refused = async (act: Promise<unknown>): Promise<ApiError> => {
      const error: unknown = await act.catch((cause: unknown) => cause);
      if (!(error instanceof ApiError)) throw error;
      return error;
    };
    const ask = (contents: string, name = model) => google.models.generateContent({ model: name, contents });

    const stranger = await refused(client("nobody-knows-this-key").models.generateContent({ model, contents: "hi" }));
    expect(stranger.status).toBe(401);
    expect(JSON.parse(stranger.message)).toMatchObject({ error: { code: 401, status: "UNAUTHENTICATED" } });
    expect(gw.upstream.calls).toHaveLength(0);

    const other = await refused(ask("hi", "gpt-4o"));
    expect(other.status).toBe(400);
    expect(other.message).toContain("google/gpt-4o");
    expect((await refused(ask("[[status=404]]"))).status).toBe(404);
    expect((await refused(ask("[[status=500]]"))).status).toBe(500);
    expect((await refused(ask("[[status=429]]"))).status).toBe(503);
    expect((await refused(ask("[[status=403]]"))).status).toBe(502);
  });

  it("raises when the upstream dies, is cut off or reports an error in a stream", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]", "[[error after=2]]", "[[die after=2 half]]"]) {
      const stream = await google.models.generateContentStream({ model, contents: `hello ${directive}` });
      await expect(collect(stream), directive).rejects.toThrow();
    }
  });

  it("aborts the upstream when the caller leaves", async () => {
    const abort = new AbortController();
    const stream = await google.models.generateContentStream({
      model,
      contents: "hello [[stall after=2]]",
      config: { abortSignal: abort.signal },
    });
    const call = await gw.upstream.nextCall();
    await stream.next();
    abort.abort();
    await call.aborted;
    expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: true });
  });
});

describe("plain requests to Google's routes", () => {
  const body = { contents: [{ parts: [{ text: "[[say Good morning]]" }] }] };
  const post = (path: string, headers: Record<string, string>, json: object = body) =>
    fetch(`${gw.url}/google${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(json),
    });
  const path = `/v1beta/models/${model}:generateContent`;

  it("take the key in a header, in the query or as a bearer token", async () => {
    const bearer = { authorization: `Bearer ${token}` };
    const answers = [
      await post(path, { "x-goog-api-key": token }),
      await post(`${path}?key=${token}`, {}),
      await post(path, bearer),
      await post(`${path}?key=`, bearer),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    for (const call of gw.upstream.calls) {
      expect(call.path).toBe(path);
      expect(call.key).toBe("upstream-key-google");
    }
    expect((await post(`${path}?key=nobody`, bearer)).status).toBe(401);
    expect((await post(path, {})).status).toBe(401);
  });

  it("get a stream as one array where they do not ask for events", async () => {
    const answer = await post(`/v1beta/models/${model}:streamGenerateContent`, { "x-goog-api-key": token });
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    const chunks = (await answer.json()) as { candidates: { content: { parts: { text: string }[] } }[] }[];
    const texts = chunks.map(({ candidates }) => candidates[0]?.content.parts[0]?.text);
    expect(texts.join("")).toBe("Good morning");
    expect(gw.upstream.calls[0]?.path).toBe(`/v1beta/models/${model}:streamGenerateContent`);
    const { usage } = await gw.event();
    expect(usage.outputTokens).toBeGreaterThan(0);
  });

  it("cannot name another model in the body than in the path", async () => {
    const key = { "x-goog-api-key": token };
    const other = await post(path, key, { ...body, model: "models/gemini-2.5-pro" });
    expect(other.status).toBe(400);
    expect(((await other.json()) as { error: { message: string } }).error.message).toBe(
      "model must be the model of the path",
    );
    for (const name of [model, `models/${model}`])
      expect((await post(path, key, { ...body, model: name })).status).toBe(200);
    const counted = { generateContentRequest: { model: "models/gemini-2.5-pro", ...body } };
    expect((await post(`/v1beta/models/${model}:countTokens`, key, counted)).status).toBe(400);
    expect(gw.upstream.calls).toHaveLength(2);
  });

  it("reach the upstream byte for byte", async () => {
    const odd = `{ "contents" : [ {"parts":[{"text":"hi \\u00e9"}]} ],\n "generationConfig":{"temperature":0.0,"seed":9007199254740993,"x":1.0}, "unknown" : null }`;
    const answer = await fetch(`${gw.url}/google${path}`, {
      method: "POST",
      headers: { "x-goog-api-key": token },
      body: odd,
    });
    expect(answer.status).toBe(200);
    expect(gw.upstream.calls[0]?.body.toString()).toBe(odd);
  });

  it("find nothing at other methods and paths", async () => {
    for (const other of [
      "/v1beta/models/:generateContent",
      `/v1beta/models/${model}:unheardOf`,
      `/v1beta/tunedModels/x:generateContent`,
      "/v1alpha/models/x:generateContent",
    ])
      expect((await post(other, { "x-goog-api-key": token })).status).toBe(404);
  });
});
