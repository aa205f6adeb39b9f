import { describe, expect, it } from "vitest";
import { Reasoning_Effort, ToolChoice_Mode } from "../../gen/codygateway/v1/completions_pb.js";
import { scanJsonObject } from "../../src/lib/json.js";
import { openai, openaiCompatible } from "../../src/providers/openai.js";
import {
  apiOf,
  assistant,
  bytes,
  chat,
  encoded,
  makeRequest,
  nobody,
  type PartKind,
  type RequestInit,
  text,
  tool,
  user,
} from "./requests.js";

const api = apiOf(openai, "chat_completions");
const compatible = apiOf(openaiCompatible, "chat_completions");
const encode = (init: RequestInit = {}, stream = false, by = api) =>
  by.typed?.encode(makeRequest(init), "gpt-x", stream);
const hello = [{ role: "user", content: "Hello" }];

describe("a typed request for OpenAI", () => {
  it("has the model's own name, and asks a stream for its usage", () => {
    expect(encode()).toEqual({ model: "gpt-x", stream: false, messages: hello });
    expect(encode({}, true)).toEqual({
      model: "gpt-x",
      stream: true,
      stream_options: { include_usage: true },
      messages: hello,
    });
  });

  it("is a body that the native side reads", () => {
    const body = scanJsonObject(Buffer.from(JSON.stringify(encode({ maxOutputTokens: 7 }, true))));
    expect(api.read(body)).toEqual({ model: "gpt-x", stream: true, maxOutputTokens: 7 });
    const rewrite = { model: "gpt-x", endUser: undefined, sourcegraph: undefined };
    expect(api.rewrite(body, rewrite)).toEqual(new Map());
  });

  it.each<[string, RequestInit, object]>([
    [
      "sampling",
      { temperature: 0, topP: 0, presencePenalty: -2, frequencyPenalty: 0, seed: -9007199254740991n },
      { temperature: 0, top_p: 0, presence_penalty: -2, frequency_penalty: 0, seed: -9007199254740991 },
    ],
    ["a cap", { maxOutputTokens: 1 }, { max_completion_tokens: 1 }],
    ["stop sequences", { stopSequences: ["a", "b", "c", "d"] }, { stop: ["a", "b", "c", "d"] }],
    [
      "a system prompt",
      { input: { case: "chat", value: { system: "Be brief", messages: [user(text("Hello"))] } } },
      { messages: [{ role: "system", content: "Be brief" }, ...hello] },
    ],
    [
      "tools",
      { tools: [{ name: "f", description: "d", inputSchema: { type: "object" }, strict: true }] },
      {
        tools: [
          { type: "function", function: { name: "f", description: "d", parameters: { type: "object" }, strict: true } },
        ],
      },
    ],
    [
      "a tool without arguments",
      { tools: [{ name: "f" }] },
      { tools: [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }] },
    ],
    ["any tool", { toolChoice: { mode: ToolChoice_Mode.ANY } }, { tool_choice: "required" }],
    ["no tool", { toolChoice: { mode: ToolChoice_Mode.NONE } }, { tool_choice: "none" }],
    [
      "tools one by one",
      { toolChoice: { mode: ToolChoice_Mode.AUTO, allowParallel: false } },
      { tool_choice: "auto", parallel_tool_calls: false },
    ],
    [
      "one tool",
      { toolChoice: { mode: ToolChoice_Mode.TOOL, toolName: "f" } },
      { tool_choice: { type: "function", function: { name: "f" } } },
    ],
    ["text", { responseFormat: { format: { case: "text", value: {} } } }, { response_format: { type: "text" } }],
    ["JSON", { responseFormat: { format: { case: "json", value: {} } } }, { response_format: { type: "json_object" } }],
    [
      "JSON with a schema",
      {
        responseFormat: {
          format: {
            case: "jsonSchema",
            value: { name: "n", description: "d", schema: { type: "object" }, strict: false },
          },
        },
      },
      {
        response_format: {
          type: "json_schema",
          json_schema: { name: "n", description: "d", schema: { type: "object" }, strict: false },
        },
      },
    ],
    [
      "no reasoning",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.NONE } } },
      { reasoning_effort: "none" },
    ],
    [
      "much reasoning",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.HIGH } } },
      { reasoning_effort: "high" },
    ],
    ["predicted output", { prediction: "x" }, { prediction: { type: "content", content: "x" } }],
    [
      "options of the caller",
      { temperature: 1, providerOptions: { temperature: 0.5, service_tier: "auto", n: 1 } },
      { temperature: 0.5, service_tier: "auto", n: 1 },
    ],
    [
      "no option that the gateway rules on",
      {
        maxOutputTokens: 5,
        providerOptions: { model: "other", stream: true, max_tokens: 9, max_completion_tokens: 9, stream_options: {} },
      },
      { max_completion_tokens: 5 },
    ],
    [
      "the caller's cap as an option where there is no other",
      { providerOptions: { max_completion_tokens: 9 } },
      { max_completion_tokens: 9 },
    ],
  ])("asks for %s", (_what, init, fields) => {
    expect(encode(init)).toEqual({ model: "gpt-x", stream: false, messages: hello, ...fields });
  });

  it("keeps the caller's other stream options", () => {
    const providerOptions = { stream_options: { include_usage: false, include_obfuscation: false } };
    expect(encode({ providerOptions }, true)?.stream_options).toEqual({
      include_usage: true,
      include_obfuscation: false,
    });
    expect(encode({ providerOptions: { stream_options: "x" } }, true)?.stream_options).toEqual({ include_usage: true });
  });

  it("has all kinds of parts of users", () => {
    const input = chat(
      user(
        text("a"),
        { case: "image", value: { source: { case: "data", value: bytes }, mediaType: "image/png" } },
        { case: "image", value: { source: { case: "url", value: "https://x/" } } },
        {
          case: "document",
          value: { source: { case: "data", value: bytes }, mediaType: "application/pdf", title: "T.pdf" },
        },
        { case: "document", value: { source: { case: "data", value: bytes }, mediaType: "application/pdf" } },
      ),
    );
    expect(encode({ input })?.messages).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "image_url", image_url: { url: `data:image/png;base64,${encoded}` } },
          { type: "image_url", image_url: { url: "https://x/" } },
          { type: "file", file: { filename: "T.pdf", file_data: `data:application/pdf;base64,${encoded}` } },
          { type: "file", file: { filename: "document.pdf", file_data: `data:application/pdf;base64,${encoded}` } },
        ],
      },
    ]);
  });

  it("has results of tools as messages of their own, before what the user says", () => {
    const input = chat(
      tool(result("1", false, "12"), result("2", false)),
      user(text("and?"), result("3", true, "a", "b"), result("4", false, "c", "d")),
    );
    expect(encode({ input })?.messages).toEqual([
      { role: "tool", tool_call_id: "1", content: "12" },
      { role: "tool", tool_call_id: "2", content: "" },
      { role: "tool", tool_call_id: "3", content: "Error: a\nb" },
      {
        role: "tool",
        tool_call_id: "4",
        content: [
          { type: "text", text: "c" },
          { type: "text", text: "d" },
        ],
      },
      { role: "user", content: "and?" },
    ]);
  });

  it("has what the assistant said and asked for", () => {
    const input = chat(
      assistant(text("a")),
      assistant(text("a"), text("b")),
      assistant(
        { case: "toolUse", value: { id: "1", name: "f", input: { x: 1 } } },
        { case: "toolUse", value: { id: "2", name: "g" } },
      ),
    );
    expect(encode({ input })?.messages).toEqual([
      { role: "assistant", content: "a" },
      {
        role: "assistant",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "1", type: "function", function: { name: "f", arguments: '{"x":1}' } },
          { id: "2", type: "function", function: { name: "g", arguments: "{}" } },
        ],
      },
    ]);
  });

  const image: PartKind = { case: "image", value: { source: { case: "url", value: "https://x/" } } };
  it.each<[string, RequestInit]>([
    ["top_k", { topK: 1 }],
    ["stop_sequences", { stopSequences: ["a", "b", "c", "d", "e"] }],
    ["prompt", { input: { case: "prompt", value: { text: "x" } } }],
    ["reasoning.budget_tokens", { reasoning: { amount: { case: "budgetTokens", value: 5000 } } }],
    ["chat.messages[0].parts[0].thinking", { input: chat(assistant({ case: "thinking", value: { text: "x" } })) }],
    [
      "chat.messages[0].parts[0].document.url",
      { input: chat(user({ case: "document", value: { source: { case: "url", value: "https://x/" } } })) },
    ],
    [
      "chat.messages[0].parts[0].document.media_type",
      {
        input: chat(
          user({ case: "document", value: { source: { case: "data", value: bytes }, mediaType: "text/plain" } }),
        ),
      },
    ],
    [
      "chat.messages[0].parts[0].tool_result.parts[0].image",
      { input: chat(tool({ case: "toolResult", value: { toolUseId: "t", parts: [{ kind: image }] } })) },
    ],
    [
      "chat.messages[0].parts[0].tool_use.signature",
      { input: chat(assistant({ case: "toolUse", value: { id: "1", name: "f", signature: "s" } })) },
    ],
  ])("refuses %s, which OpenAI cannot do", (field, init) => {
    expect(() => encode(init)).toThrow(expect.objectContaining({ reason: "CAPABILITY_MISSING", field }));
  });

  it.each<[string, RequestInit]>([
    ["input", { input: { case: undefined } }],
    ["chat.messages[0].role", { input: chat(nobody(text("a"))) }],
    ["chat.messages[0].parts[0]", { input: chat(user({ case: undefined })) }],
    ["chat.messages[0].parts[0]", { input: chat(tool(text("a"))) }],
    ["chat.messages[0].parts[0]", { input: chat(assistant(image)) }],
    ["chat.messages[0].parts[0].image", { input: chat(user({ case: "image", value: {} })) }],
    ["chat.messages[0].parts[0].document", { input: chat(user({ case: "document", value: {} })) }],
    ["tool_choice.mode", { toolChoice: {} }],
    ["response_format", { responseFormat: {} }],
    ["reasoning.effort", { reasoning: {} }],
    ["provider_options.n", { providerOptions: { n: 2 } }],
    ["provider_options.n", { providerOptions: { n: "1" } }],
  ])("refuses a wrong %s", (field, init) => {
    expect(() => encode(init)).toThrow(expect.objectContaining({ reason: "INVALID_REQUEST", field }));
  });
});

describe("a typed request for a compatible server", () => {
  it("has the older name of the cap, and what such servers take beside", () => {
    const stopSequences = ["a", "b", "c", "d", "e"];
    expect(encode({ maxOutputTokens: 5, topK: 40, stopSequences }, false, compatible)).toEqual({
      model: "gpt-x",
      stream: false,
      messages: hello,
      max_tokens: 5,
      top_k: 40,
      stop: stopSequences,
    });
  });

  it("gives back the thoughts that such servers gave", () => {
    const input = chat(assistant({ case: "thinking", value: { text: "hm" } }, text("a")));
    expect(encode({ input }, false, compatible)?.messages).toEqual([
      { role: "assistant", content: "a", reasoning_content: "hm" },
    ]);
  });

  it.each([{ text: "x", signature: "s" }, { redactedData: "x" }])("refuses thoughts of others: %j", (value) => {
    expect(() => encode({ input: chat(assistant({ case: "thinking", value })) }, false, compatible)).toThrow(
      expect.objectContaining({ reason: "CAPABILITY_MISSING", field: "chat.messages[0].parts[0].thinking" }),
    );
  });
});

function result(toolUseId: string, isError: boolean, ...texts: string[]): PartKind {
  return { case: "toolResult", value: { toolUseId, isError, parts: texts.map((value) => ({ kind: text(value) })) } };
}
