// Embeddings on the route of existing Sourcegraph instances and over the RPCs: what callers get, what upstreams see, what is
// charged.

import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EmbeddingInputType } from "../../gen/codygateway/v1/embeddings_pb.js";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";

const poor = "test-token-of-an-actor-with-little";
const stranger = "test-token-of-an-actor-without-any";
const mpnet = "sourcegraph/st-multi-qa-mpnet-base-dot-v1";
const ada = "openai/text-embedding-ada-002";

let gw: TestGateway;

beforeAll(async () => {
  gw = await testGateway({
    actor: {
      limits: { chat_completions: [], embeddings: [{ limit: 100_000_000, unit: "tokens", per: "24h" }] },
      models: { embeddings: ["*"] },
    },
    actors: [
      {
        id: "poor",
        tokens: [{ ref: "env:POOR_TOKEN" }],
        limits: { embeddings: [{ limit: 100, unit: "tokens", per: "24h" }] },
        models: { embeddings: [ada] },
      },
      { id: "stranger", tokens: [{ ref: "env:STRANGER_TOKEN" }], limits: { chat_completions: [] } },
    ],
    env: ({ url }) => ({
      POOR_TOKEN: poor,
      STRANGER_TOKEN: stranger,
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN: "key-of-the-embeddings-server",
      CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_URL: `${url}/v2/models/st-multi-qa-mpnet-base-dot-v1/infer`,
    }),
  });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

interface Embeddings {
  readonly embeddings: readonly { readonly index: number; readonly data: readonly number[] }[];
  readonly model: string;
  readonly dimensions: number;
}

/** As an instance asks: without a feature, with the size of the batch. */
function post(body: unknown, as = token, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${gw.url}/v1/embeddings`, {
    method: "POST",
    headers: { authorization: `Bearer ${as}`, "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function embed(body: unknown, as = token): Promise<Embeddings> {
  const answer = await post(body, as);
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Embeddings;
}

async function used(as = token): Promise<number> {
  const answer = await fetch(`${gw.url}/v1/limits`, { headers: { authorization: `Bearer ${as}` } });
  return ((await answer.json()) as { embeddings: { usage: number } }).embeddings.usage;
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, index) => `text number ${index}`);

describe("POST /v1/embeddings", () => {
  it("embeds by OpenAI, as existing instances ask and read", async () => {
    const before = await used();
    const answer = await post({ model: ada, input: ["one", "two words"] }, token, { "x-cody-embed-batch-size": "2" });
    const body = (await answer.json()) as Embeddings;

    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(answer.headers.get("x-cody-resolved-model")).toBe(ada);
    expect(body).toMatchObject({ model: "text-embedding-ada-002-v2", dimensions: 1536 });
    expect(body.embeddings.map(({ index, data }) => [index, data.length])).toEqual([
      [0, 1536],
      [1, 1536],
    ]);
    const [call] = gw.upstream.calls;
    expect(call?.json).toEqual({ model: "text-embedding-ada-002", input: ["one", "two words"], user: "acme" });
    const tokens = Number(answer.headers.get("x-token-usage"));
    expect(tokens).toBe(call?.usage?.inputTokens);
    expect(await gw.event()).toMatchObject({
      feature: "embeddings",
      edge: "sourcegraph",
      model: ada,
      charged: true,
    });
    expect((await gw.event()).usage).toEqual({ inputTokens: tokens, outputTokens: 0 });
    expect((await used()) - before).toBe(tokens);
    expect(answer.headers.get("x-ratelimit-remaining")).toBe(String(100_000_000 - (await used())));
  });

  it("embeds by Sourcegraph's own server, whose tokens the gateway counts", async () => {
    const before = await used();
    const answer = await post({ model: mpnet, input: ["hello there", "good night"], isQuery: true });
    const body = (await answer.json()) as Embeddings;

    expect(body).toMatchObject({ model: mpnet, dimensions: 768 });
    expect(body.embeddings.map(({ index, data }) => [index, data.length])).toEqual([
      [0, 768],
      [1, 768],
    ]);
    const [call] = gw.upstream.calls;
    expect(call?.json).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      inputs: [{ name: "TEXT", shape: [2], datatype: "BYTES", data: ["hello there", "good night"] }],
    });
    expect(call?.headers["sourcegraph-smega-inference-auth"]).toBe("key-of-the-embeddings-server");
    expect(call?.headers["authorization"]).toBeUndefined();
    expect(answer.headers.get("x-token-usage")).toBe("4");
    expect((await gw.event()).usage).toEqual({ inputTokens: 4, outputTokens: 0, estimated: true });
    expect((await used()) - before).toBe(4);
  });

  it("gives the same vectors for 2,048 inputs as for each by itself", async () => {
    const input = texts(2_048);
    const before = await used();
    const many = await embed({ model: mpnet, input });
    const charged = (await used()) - before;

    expect(gw.upstream.calls.map(({ json }) => (json as { inputs: [{ shape: number[] }] }).inputs[0].shape)).toEqual([
      [512],
      [512],
      [512],
      [512],
    ]);
    expect(many.embeddings.map(({ index }) => index)).toEqual(input.map((_, index) => index));
    const picked = [0, 1, 510, 511, 512, 513, 1_023, 1_024, 1_535, 1_536, 2_046, 2_047];
    for (const index of picked) {
      const one = await embed({ model: mpnet, input: [input[index]] });
      expect(many.embeddings[index]?.data, String(index)).toEqual(one.embeddings[0]?.data);
    }
    // Of so many words and no less; a request, however many calls it takes.
    expect(charged).toBeGreaterThanOrEqual(3 * 2_048);
    await gw.event(({ usage }) => (usage.inputTokens ?? 0) === charged);
    expect(gw.events.filter(({ usage }) => (usage.inputTokens ?? 0) > 100)).toHaveLength(1);
  });

  it("charges what the upstream reports, 0 for 0, whatever was held", async () => {
    const before = await used();
    gw.upstream.script({ usage: { inputTokens: 0 } });
    const answer = await post({ model: ada, input: ["some text that holds a few tokens"] });
    expect(answer.headers.get("x-token-usage")).toBe("0");
    expect(await used()).toBe(before);
    expect(await gw.event()).toMatchObject({ charged: true, usage: { inputTokens: 0 } });
  });

  it("holds an estimate while the request is under way", async () => {
    const before = await used();
    gw.upstream.holdAll();
    const asked = post({ model: ada, input: ["word ".repeat(400)] });
    const call = await gw.upstream.nextCall();
    expect((await used()) - before).toBeGreaterThan(100);
    call.answer({ usage: { inputTokens: 7 } });
    expect((await asked).status).toBe(200);
    expect((await used()) - before).toBe(7);
  });

  it("keeps the place of an input that the upstream gave no vector, so that it is asked for by itself", async () => {
    const body = await embed({ model: ada, input: ["one", "[[hole]] two", "three"] });
    expect(body.embeddings.map(({ index, data }) => [index, data.length])).toEqual([
      [0, 1536],
      [1, 0],
      [2, 1536],
    ]);
    expect(body.dimensions).toBe(1536);
  });

  it("divides an input of too many tokens among calls", async () => {
    const input = Array.from({ length: 3 }, () => "word ".repeat(150_000));
    const body = await embed({ model: ada, input });
    expect(body.embeddings).toHaveLength(3);
    expect(gw.upstream.calls.length).toBeGreaterThan(1);
  });

  it.each([
    ["no JSON", "{", 400, /failed to parse request body/],
    ["no model", { input: ["a"] }, 400, /model must be a string/],
    [
      "a model that is not allowed",
      { model: "openai/gpt-4o", input: ["a"] },
      400,
      'model "openai/gpt-4o" is not allowed',
    ],
    ["a model of nobody", { model: "nobody/model", input: ["a"] }, 400, 'model "nobody/model" is not allowed'],
    ["no input", { model: ada, input: [] }, 400, /input must not be empty/],
    ["an empty text", { model: ada, input: ["a", ""] }, 400, "cannot generate embeddings for an empty string"],
    ["numbers", { model: ada, input: [1] }, 400, /input must be an array of strings/],
    ["too many", { model: ada, input: Array(10_001).fill("a") }, 400, /at most 10000/],
  ])("refuses %s", async (_what, body, status, message) => {
    const answer = await post(body);
    expect(answer.status).toBe(status);
    const { error } = (await answer.json()) as { error: string };
    if (typeof message === "string") expect(error).toBe(message);
    else expect(error).toMatch(message);
    expect(gw.upstream.calls).toEqual([]);
  });

  it.each([
    ["busy", { status: 429, retryAfter: "7" }, 503, /too much load at the moment, please retry later/],
    ["refusing", { status: 400, message: "It is too long." }, 400, /^bad request: It is too long\.$/],
    ["failing", { status: 500 }, 500, /failed to make request to upstream provider openai/],
    ["dying", { dieAfter: 1 }, 502, /broke off/],
    ["talking nonsense", { garbage: true }, 502, /no answer/],
    ["refusing the key", { status: 401 }, 502, /refused the gateway's key/],
  ])(
    "tells of an upstream that is %s, charges nothing and says when to come back",
    async (_what, script, status, text) => {
      const before = await used();
      gw.upstream.script(script);
      const answer = await post({ model: ada, input: ["text"] });
      expect(answer.status).toBe(status);
      expect(answer.headers.get("retry-after")).toBe("60");
      expect(((await answer.json()) as { error: string }).error).toMatch(text);
      expect(await gw.event()).toMatchObject({ charged: false, outcome: "failed" });
      expect(await used()).toBe(before);
    },
  );

  it("gives up within X-Timeout-Ms", async () => {
    gw.upstream.script({ stallAfter: 0 });
    const answer = await post({ model: ada, input: ["text"] }, token, { "x-timeout-ms": "150" });
    expect(answer.status).toBe(504);
    expect(answer.headers.get("retry-after")).toBe("60");
  });

  it("refuses what does not fit into the limit, and sends nothing", async () => {
    const little = { model: ada, input: ["a few words"] };
    expect((await post(little, poor)).status).toBe(200);
    const before = await used(poor);
    gw.reset();
    const answer = await post({ model: ada, input: ["word ".repeat(200)] }, poor);
    expect(answer.status).toBe(429);
    expect(await answer.text()).toMatch(/^you have exceeded the rate limit of 100 tokens\. Retry after /);
    expect(gw.upstream.calls).toEqual([]);
    expect(await used(poor)).toBe(before);
    expect((await post(little, poor)).status).toBe(200);
    expect(await used(poor)).toBe(before + 3);
  });

  it("refuses an actor without embeddings, and models that are not the actor's", async () => {
    expect((await post({ model: ada, input: ["a"] }, stranger)).status).toBe(403);
    const answer = await post({ model: mpnet, input: ["a"] }, poor);
    expect(await answer.json()).toEqual({ error: `model "${mpnet}" is not allowed` });
  });
});

describe("a caller of /v1/embeddings that leaves", () => {
  it("ends the call, is not charged, and is no failure in the log", async () => {
    const log = recordingLog();
    await using own = await testGateway({
      actor: { limits: { embeddings: [{ limit: 1_000, unit: "tokens", per: "24h" }] } },
      log,
    });
    own.upstream.holdAll();
    const left = new AbortController();
    const asked = fetch(`${own.url}/v1/embeddings`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ model: ada, input: ["text"] }),
      signal: left.signal,
    });
    const call = await own.upstream.nextCall();
    left.abort();
    await expect(asked).rejects.toThrow();
    await call.aborted;
    expect(await own.event()).toMatchObject({ outcome: "client_gone", charged: false });
    await own.gateway.drain({ delayMs: 0, timeoutMs: 1_000 });
    expect(log.lines.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("the routes of embeddings", () => {
  const withOnly = (key: string) => ({
    ANTHROPIC_API_KEY: "",
    OPENAI_API_KEY: "",
    GEMINI_API_KEY: "",
    FIREWORKS_API_KEY: "",
    [key]: "key",
  });

  it("are there where any provider makes them, and not where none does", async () => {
    for (const [key, status] of [
      ["GEMINI_API_KEY", 400],
      ["FIREWORKS_API_KEY", 400],
      ["CODY_GATEWAY_SOURCEGRAPH_EMBEDDINGS_API_TOKEN", 400],
      ["ANTHROPIC_API_KEY", 404],
    ] as const) {
      await using own = await testGateway({ env: withOnly(key) });
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`${own.url}/v1/embeddings`, { method: "POST", headers, body: "{}" });
      expect([key, answer.status]).toEqual([key, status]);
      const models = await fetch(`${own.url}/v1/embeddings/models`, { headers });
      expect([key, models.status]).toEqual([key, status === 400 ? 200 : 404]);
    }
  });
});

describe("GET /v1/embeddings/models", () => {
  const list = async (as: string): Promise<Record<string, object>> => {
    const answer = await fetch(`${gw.url}/v1/embeddings/models`, { headers: { authorization: `Bearer ${as}` } });
    const models = (await answer.json()) as { name: string }[];
    return Object.fromEntries(models.map(({ name, ...rest }) => [name, rest]));
  };

  it("lists all models, with those that the actor may use enabled", async () => {
    expect(await list(token)).toMatchObject({
      [ada]: { dimensions: 1536, enabled: true, deprecated: false },
      [mpnet]: { dimensions: 768, enabled: true, deprecated: false },
      "google/gemini-embedding-001": { dimensions: 3072, enabled: true, deprecated: false },
    });
    expect(await list(poor)).toMatchObject({ [ada]: { enabled: true }, [mpnet]: { enabled: false } });
    expect(await list(stranger)).toMatchObject({ [ada]: { enabled: false }, [mpnet]: { enabled: false } });
  });

  it("lists no model that writes", async () => {
    expect(Object.keys(await list(token)).filter((name) => /gpt|claude|gemini-2/.test(name))).toEqual([]);
  });
});

describe.each([
  ["connect", "1.1"],
  ["grpc", "2"],
] as const)("EmbeddingsService over %s", (protocol, httpVersion) => {
  const client = (as = token) => gw.client({ protocol, httpVersion, token: as }).embeddings;

  it.each([
    [ada, 1536, false],
    [mpnet, 768, true],
    ["google/gemini-embedding-001", 3072, true],
    ["fireworks/nomic-ai/nomic-embed-text-v1.5", 768, false],
  ])("embeds by %s, as exactly as 32 bits are", async (model, dimensions, estimated) => {
    const before = await used();
    const answer = await client().embed({ model, inputs: ["one", "two words"] });
    expect(answer).toMatchObject({ model, dimensions, usage: { estimated } });
    const one = await client().embed({ model, inputs: ["two words"] });
    expect(answer.embeddings.map(({ index }) => index)).toEqual([0, 1]);
    expect(answer.embeddings[1]?.values).toEqual(one.embeddings[0]?.values);
    const native = (await embed({ model, input: ["two words"] })).embeddings[0]?.data ?? [];
    expect(one.embeddings[0]?.values).toEqual([...Float32Array.from(native)]);
    expect(answer.rateLimit).toMatchObject({
      limit: 100_000_000n,
      used: BigInt(before + (answer.usage?.inputTokens ?? 0)),
    });
    expect(await gw.event(({ edge }) => edge === "rpc")).toMatchObject({
      feature: "embeddings",
      model,
      charged: true,
      usage: { inputTokens: answer.usage?.inputTokens },
    });
  });

  it("passes on how long the vectors are to be, and what the texts are for", async () => {
    const google = "google/gemini-embedding-001";
    const answer = await client().embed({
      model: google,
      inputs: ["find it"],
      dimensions: 16,
      inputType: EmbeddingInputType.QUERY,
    });
    expect(answer.dimensions).toBe(16);
    expect(gw.upstream.calls[0]?.json).toMatchObject({
      requests: [{ taskType: "RETRIEVAL_QUERY", outputDimensionality: 16 }],
    });
    await client().embed({ model: google, inputs: ["found"], inputType: EmbeddingInputType.DOCUMENT });
    expect(gw.upstream.calls[1]?.json).toMatchObject({ requests: [{ taskType: "RETRIEVAL_DOCUMENT" }] });
  });

  it("embeds 2,048 texts in their order", async () => {
    const inputs = texts(2_048);
    const answer = await client().embed({ model: ada, inputs, dimensions: 4 });
    expect(answer.embeddings.map(({ index }) => index)).toEqual(inputs.map((_, index) => index));
    for (const index of [0, 511, 512, 2_047]) {
      const one = await client().embed({ model: ada, inputs: [inputs[index] ?? ""], dimensions: 4 });
      expect(answer.embeddings[index]?.values).toEqual(one.embeddings[0]?.values);
    }
  });

  it.each([
    ["nothing", { model: ada, inputs: [] }, Code.InvalidArgument, undefined],
    ["an empty text", { model: ada, inputs: [""] }, Code.InvalidArgument, undefined],
    ["a model that writes", { model: "openai/gpt-4o", inputs: ["a"] }, Code.InvalidArgument, "MODEL_NOT_ALLOWED"],
    ["another length", { model: mpnet, inputs: ["a"], dimensions: 8 }, Code.InvalidArgument, "CAPABILITY_MISSING"],
  ])("refuses %s", async (_what, request, code, reason) => {
    const error = await client()
      .embed(request)
      .then(() => undefined, ConnectError.from);
    expect(error?.code).toBe(code);
    expect(error?.findDetails(ErrorInfoSchema)[0]?.reason).toBe(reason);
    expect(gw.upstream.calls).toEqual([]);
  });

  it("refuses what does not fit, and an actor without embeddings", async () => {
    await client(poor).embed({ model: ada, inputs: ["a few words"] });
    const much = client(poor).embed({ model: ada, inputs: ["word ".repeat(500)] });
    await expect(much).rejects.toMatchObject({ code: Code.ResourceExhausted });
    await expect(client(stranger).embed({ model: ada, inputs: ["a"] })).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
  });

  it("fails as a whole, free of charge, where one input gets no vector or the upstream fails", async () => {
    const before = await used();
    const hole = client().embed({ model: ada, inputs: ["one", "[[hole]]"] });
    await expect(hole).rejects.toMatchObject({ code: Code.Unavailable });
    await expect(client().embed({ model: ada, inputs: ["[[status=500]]"] })).rejects.toMatchObject({
      code: Code.Unavailable,
    });
    expect(await used()).toBe(before);
  });

  it("lists the models", async () => {
    const { models } = await client(poor).listEmbeddingModels({});
    expect(models.find(({ name }) => name === ada)).toMatchObject({ dimensions: 1536, enabled: true });
    expect(models.find(({ name }) => name === mpnet)).toMatchObject({ dimensions: 768, enabled: false });
  });
});
