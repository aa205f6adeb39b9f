import { describe, expect, it } from "vitest";
import { type CompleteRequest, Reasoning_Effort } from "../../gen/codygateway/v1/completions_pb.js";
import { scanJsonObject } from "../../src/lib/json.js";
import { fireworks } from "../../src/providers/fireworks.js";
import { openai, openaiCompatible } from "../../src/providers/openai.js";
import type { Provider } from "../../src/providers/provider.js";
import { apiOf, bytes, chat as chatOf, makeRequest, type RequestInit, user } from "./requests.js";

const api = apiOf(openai, "completions");
const scan = (text: string) => scanJsonObject(Buffer.from(text));
const prompt = (more: object = {}): Exclude<RequestInit, CompleteRequest> => ({
  input: { case: "prompt", value: { text: "const a", ...more } },
});
const encode = (provider: Provider, init: RequestInit, stream = false) =>
  apiOf(provider, "completions").typed?.encode(makeRequest(init), "m", stream);

describe("a native completion", () => {
  it.each([
    ['{"model":"m","prompt":"x"}', undefined],
    ['{"model":"m","prompt":"x","max_tokens":10}', 10],
    ['{"model":"m","prompt":["x","y"],"max_tokens":10,"n":2}', 40],
    ['{"model":"m","prompt":[1,2,3],"max_tokens":10,"best_of":5,"n":2}', 50],
    ['{"model":"m","prompt":[[1],[2]],"max_tokens":10}', 20],
    ['{"model":"m","prompt":[],"max_tokens":10}', 10],
  ])("reads %s", (body, maxOutputTokens) => {
    expect(api.read(scan(body))).toMatchObject({ model: "m", stream: false, maxOutputTokens });
  });

  it.each([
    ['{"prompt":"x"}', "model"],
    ['{"model":"m"}', "prompt"],
    ['{"model":"m","prompt":7}', "prompt"],
    ['{"model":"m","prompt":"x","n":"3"}', "n"],
  ])("refuses %s", (body, field) => {
    expect(() => api.read(scan(body))).toThrow(expect.objectContaining({ field }));
  });

  it("has the language that Cody sends, which goes no further", () => {
    const body = scan('{"model":"m","prompt":"x","languageId":"go","echo":false}');
    expect(api.read(body).languageId).toBe("go");
    const edits = api.rewrite(body, { model: "m", endUser: undefined, sourcegraph: undefined });
    expect(body.with(edits).toString()).toBe('{"model":"m","prompt":"x","echo":false}');
    expect(api.read(scan('{"model":"m","prompt":"x","languageId":7}')).languageId).toBeUndefined();
  });

  it("counts tokens as texts", () => {
    expect(api.prompt(scan('{"prompt":["a","b"],"suffix":"c"}'))).toBe("a\nb\nc");
    expect(api.prompt(scan('{"prompt":[1,2,3]}')).split(" ").length).toBe(4);
  });
});

describe("a typed prompt", () => {
  it.each<[string, Provider, RequestInit, object]>([
    ["its suffix", openai, prompt({ suffix: "}" }), { suffix: "}" }],
    [
      "sampling",
      openai,
      { ...prompt(), temperature: 0, topP: 0, seed: 0n, maxOutputTokens: 1, stopSequences: ["x"] },
      { temperature: 0, top_p: 0, seed: 0, max_tokens: 1, stop: ["x"] },
    ],
    ["top_k", openaiCompatible, { ...prompt(), topK: 0 }, { top_k: 0 }],
    [
      "predicted output",
      fireworks,
      { ...prompt({ languageId: "go" }), prediction: "p" },
      { prediction: { type: "content", content: "p" } },
    ],
    [
      "JSON",
      fireworks,
      { ...prompt(), responseFormat: { format: { case: "json", value: {} } } },
      { response_format: { type: "json_object" } },
    ],
    ["options", openai, { ...prompt(), providerOptions: { echo: true, model: "x" } }, { echo: true }],
  ])("has %s", (_name, provider, init, expected) => {
    expect(encode(provider, init)).toEqual({ model: "m", stream: false, prompt: "const a", ...expected });
  });

  it("asks a stream for its usage where it must", () => {
    expect(encode(openai, prompt(), true)).toMatchObject({ stream_options: { include_usage: true } });
    expect(encode(fireworks, prompt(), true)).toEqual({ model: "m", stream: true, prompt: "const a" });
  });

  it.each<[string, Provider, RequestInit, string]>([
    ["tools", openai, { ...prompt(), tools: [{ name: "f" }] }, "tools"],
    [
      "reasoning",
      fireworks,
      { ...prompt(), reasoning: { amount: { case: "effort", value: Reasoning_Effort.LOW } } },
      "reasoning",
    ],
    ["predicted output", openai, { ...prompt(), prediction: "p" }, "prediction"],
    ["a form", openai, { ...prompt(), responseFormat: { format: { case: "json", value: {} } } }, "response_format"],
    ["a suffix", fireworks, prompt({ suffix: "}" }), "prompt.suffix"],
    ["top_k", openai, { ...prompt(), topK: 1 }, "top_k"],
    ["five stop sequences", fireworks, { ...prompt(), stopSequences: ["1", "2", "3", "4", "5"] }, "stop_sequences"],
    ["several answers", openai, { ...prompt(), providerOptions: { best_of: 2 } }, "provider_options.best_of"],
  ])("has no %s where the provider has none", (_name, provider, init, field) => {
    expect(() => encode(provider, init)).toThrow(expect.objectContaining({ field }));
  });
});

describe("a typed chat for Fireworks", () => {
  const chat = apiOf(fireworks, "chat_completions");
  const encodeChat = (init: RequestInit, stream = false) => chat.typed?.encode(makeRequest(init), "m", stream);

  it("has its sampling options and older names", () => {
    expect(encodeChat({ topK: 3, maxOutputTokens: 5, prediction: "p" }, true)).toEqual({
      model: "m",
      stream: true,
      messages: [{ role: "user", content: "Hello" }],
      top_k: 3,
      max_tokens: 5,
      prediction: { type: "content", content: "p" },
    });
  });

  it("has no documents", () => {
    const document = { source: { case: "data" as const, value: bytes }, mediaType: "application/pdf" };
    const input = chatOf(user({ case: "document", value: document }));
    expect(() => encodeChat({ input })).toThrow(
      expect.objectContaining({ reason: "CAPABILITY_MISSING", field: "chat.messages[0].parts[0].document" }),
    );
  });
});
