import { describe, expect, it } from "vitest";
import { Reasoning_Effort, ToolChoice_Mode } from "../../gen/codygateway/v1/completions_pb.js";
import { scanJsonObject } from "../../src/lib/json.js";
import { anthropic } from "../../src/providers/anthropic.js";
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

const messages = apiOf(anthropic, "messages");
const countTokens = apiOf(anthropic, "count_tokens");
const encode = (init: RequestInit = {}, stream = false) =>
  messages.typed?.encode(makeRequest(init), "claude-x", stream);
const hello = [{ role: "user", content: [{ type: "text", text: "Hello" }] }];

describe("a typed request for Anthropic", () => {
  it("has the model's own name, and a cap on tokens that Anthropic demands", () => {
    expect(encode()).toEqual({ model: "claude-x", stream: false, max_tokens: 4096, messages: hello });
    expect(encode({}, true)).toEqual({ model: "claude-x", stream: true, max_tokens: 4096, messages: hello });
  });

  it("is a body that the native side reads", () => {
    const body = scanJsonObject(Buffer.from(JSON.stringify(encode({ maxOutputTokens: 7 }, true))));
    expect(messages.read(body)).toEqual({ model: "claude-x", stream: true, maxOutputTokens: 7 });
  });

  it.each<[string, RequestInit, object]>([
    [
      "sampling",
      { temperature: 0, topP: 0.5, topK: 0, maxOutputTokens: 1 },
      { temperature: 0, top_p: 0.5, top_k: 0, max_tokens: 1 },
    ],
    ["stop sequences", { stopSequences: ["a", "b"] }, { stop_sequences: ["a", "b"] }],
    [
      "a system prompt",
      { input: { case: "chat", value: { system: "Be brief", messages: [user(text("Hello"))] } } },
      { system: "Be brief" },
    ],
    [
      "tools",
      { tools: [{ name: "f", description: "d", inputSchema: { type: "object", x: 1 }, strict: false }] },
      { tools: [{ name: "f", description: "d", input_schema: { type: "object", x: 1 }, strict: false }] },
    ],
    [
      "a tool without arguments",
      { tools: [{ name: "f" }] },
      { tools: [{ name: "f", input_schema: { type: "object", properties: {} } }] },
    ],
    ["any tool", { toolChoice: { mode: ToolChoice_Mode.ANY } }, { tool_choice: { type: "any" } }],
    ["no tool", { toolChoice: { mode: ToolChoice_Mode.NONE } }, { tool_choice: { type: "none" } }],
    [
      "tools one by one",
      { toolChoice: { mode: ToolChoice_Mode.AUTO, allowParallel: false } },
      { tool_choice: { type: "auto", disable_parallel_tool_use: true } },
    ],
    [
      "one tool",
      { toolChoice: { mode: ToolChoice_Mode.TOOL, toolName: "f", allowParallel: true } },
      { tool_choice: { type: "tool", name: "f", disable_parallel_tool_use: false } },
    ],
    ["text", { responseFormat: { format: { case: "text", value: {} } } }, {}],
    [
      "JSON with a schema",
      {
        responseFormat: {
          format: {
            case: "jsonSchema",
            value: { name: "n", description: "d", schema: { type: "object" }, strict: true },
          },
        },
      },
      { output_config: { format: { type: "json_schema", schema: { type: "object", description: "d" } } } },
    ],
    [
      "a schema with a description of its own",
      {
        responseFormat: {
          format: { case: "jsonSchema", value: { name: "n", description: "d", schema: { description: "own" } } },
        },
      },
      { output_config: { format: { type: "json_schema", schema: { description: "own" } } } },
    ],
    [
      "a budget for thinking",
      { reasoning: { amount: { case: "budgetTokens", value: 1024 } } },
      { thinking: { type: "enabled", budget_tokens: 1024 }, max_tokens: 5120 },
    ],
    [
      "a budget within a cap",
      { maxOutputTokens: 2000, reasoning: { amount: { case: "budgetTokens", value: 1024 } } },
      { thinking: { type: "enabled", budget_tokens: 1024 }, max_tokens: 2000 },
    ],
    [
      "no thinking",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.NONE } } },
      { thinking: { type: "disabled" } },
    ],
    [
      "little effort",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.MINIMAL } } },
      { thinking: { type: "adaptive" }, output_config: { effort: "low" } },
    ],
    [
      "much effort",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.MAX } } },
      { thinking: { type: "adaptive" }, output_config: { effort: "max" } },
    ],
    [
      "options of the caller",
      { temperature: 1, providerOptions: { temperature: 0.5, service_tier: "auto" } },
      { temperature: 0.5, service_tier: "auto" },
    ],
    [
      "no option that the gateway rules on",
      { maxOutputTokens: 5, providerOptions: { model: "other", stream: true, max_tokens: 9 } },
      { max_tokens: 5 },
    ],
    [
      "the caller's cap as an option where there is no other",
      { providerOptions: { max_tokens: 9 } },
      { max_tokens: 9 },
    ],
  ])("asks for %s", (_what, init, fields) => {
    expect(encode(init)).toEqual({ model: "claude-x", stream: false, max_tokens: 4096, messages: hello, ...fields });
  });

  it.each<[string, PartKind, object]>([
    ["text", text(""), { type: "text", text: "" }],
    [
      "an image",
      { case: "image", value: { source: { case: "data", value: bytes }, mediaType: "image/png" } },
      { type: "image", source: { type: "base64", media_type: "image/png", data: encoded } },
    ],
    [
      "an image by URL",
      { case: "image", value: { source: { case: "url", value: "https://x/" } } },
      { type: "image", source: { type: "url", url: "https://x/" } },
    ],
    [
      "a PDF file",
      { case: "document", value: { source: { case: "data", value: bytes }, mediaType: "application/pdf", title: "T" } },
      { type: "document", source: { type: "base64", media_type: "application/pdf", data: encoded }, title: "T" },
    ],
    [
      "a text file",
      {
        case: "document",
        value: { source: { case: "data", value: new Uint8Array(Buffer.from("é")) }, mediaType: "text/plain" },
      },
      { type: "document", source: { type: "text", media_type: "text/plain", data: "é" } },
    ],
    [
      "a PDF file by URL",
      { case: "document", value: { source: { case: "url", value: "https://x/" } } },
      { type: "document", source: { type: "url", url: "https://x/" } },
    ],
    [
      "a tool's result",
      {
        case: "toolResult",
        value: {
          toolUseId: "t",
          parts: [
            { kind: text("12") },
            { kind: { case: "image", value: { source: { case: "url", value: "https://x/" } } } },
          ],
          isError: true,
        },
      },
      {
        type: "tool_result",
        tool_use_id: "t",
        content: [
          { type: "text", text: "12" },
          { type: "image", source: { type: "url", url: "https://x/" } },
        ],
        is_error: true,
      },
    ],
    ["an empty result", { case: "toolResult", value: { toolUseId: "t" } }, { type: "tool_result", tool_use_id: "t" }],
  ])("has %s of users", (_what, kind, content) => {
    expect(encode({ input: chat(user(kind)) })?.messages).toEqual([{ role: "user", content: [content] }]);
  });

  it("has tools' turns as those of users, as Anthropic has them", () => {
    const result: PartKind = { case: "toolResult", value: { toolUseId: "t" } };
    expect(encode({ input: chat(tool(result)) })?.messages).toEqual([
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t" }] },
    ]);
  });

  it("has what the assistant said, thought and asked for, as it was", () => {
    const input = chat(
      user(text("a")),
      assistant(
        { case: "thinking", value: { text: "hm", signature: "sig" } },
        { case: "thinking", value: { redactedData: "data" } },
        text("b"),
        { case: "toolUse", value: { id: "1", name: "f", input: { x: [1, null] } } },
        { case: "toolUse", value: { id: "2", name: "g" } },
      ),
    );
    expect(encode({ input })?.messages).toEqual([
      { role: "user", content: [{ type: "text", text: "a" }] },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm", signature: "sig" },
          { type: "redacted_thinking", data: "data" },
          { type: "text", text: "b" },
          { type: "tool_use", id: "1", name: "f", input: { x: [1, null] } },
          { type: "tool_use", id: "2", name: "g", input: {} },
        ],
      },
    ]);
  });

  it("sends an option called __proto__ like any other", () => {
    const options = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}');
    const body = encode({ providerOptions: options });
    expect(JSON.parse(JSON.stringify(body))).toHaveProperty("constructor", 1);
    expect(JSON.stringify(body)).toContain('"__proto__":{"polluted":true}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  const image: PartKind = { case: "image", value: { source: { case: "url", value: "https://x/" } } };
  it.each<[string, RequestInit]>([
    ["seed", { seed: 0n }],
    ["presence_penalty", { presencePenalty: 0 }],
    ["frequency_penalty", { frequencyPenalty: 0 }],
    ["prediction", { prediction: "x" }],
    ["temperature", { temperature: 1.5 }],
    ["prompt", { input: { case: "prompt", value: { text: "x" } } }],
    ["response_format.json", { responseFormat: { format: { case: "json", value: {} } } }],
    ["reasoning.budget_tokens", { reasoning: { amount: { case: "budgetTokens", value: 1023 } } }],
    ["chat.messages[1].parts[1].image", { input: chat(user(text("a")), assistant(text("b"), image)) }],
    [
      "chat.messages[0].parts[0].image.media_type",
      {
        input: chat(
          user({ case: "image", value: { source: { case: "data", value: bytes }, mediaType: "image/tiff" } }),
        ),
      },
    ],
    [
      "chat.messages[0].parts[0].document.media_type",
      {
        input: chat(
          user({ case: "document", value: { source: { case: "data", value: bytes }, mediaType: "text/csv" } }),
        ),
      },
    ],
    [
      "chat.messages[0].parts[0].document.media_type",
      {
        input: chat(
          user({ case: "document", value: { source: { case: "url", value: "https://x/" }, mediaType: "text/plain" } }),
        ),
      },
    ],
    [
      "chat.messages[0].parts[0].tool_result.parts[0].image.media_type",
      {
        input: chat(
          tool({
            case: "toolResult",
            value: {
              toolUseId: "t",
              parts: [
                { kind: { case: "image", value: { source: { case: "data", value: bytes }, mediaType: "image/tiff" } } },
              ],
            },
          }),
        ),
      },
    ],
    [
      "chat.messages[0].parts[0].tool_use.signature",
      { input: chat(assistant({ case: "toolUse", value: { id: "1", name: "f", signature: "s" } })) },
    ],
  ])("refuses %s, which Anthropic cannot do", (field, init) => {
    expect(() => encode(init)).toThrow(expect.objectContaining({ reason: "CAPABILITY_MISSING", field }));
  });

  it.each<[string, RequestInit]>([
    ["input", { input: { case: undefined } }],
    ["chat.messages[0].role", { input: chat(nobody(text("a"))) }],
    ["chat.messages[0].parts[0]", { input: chat(user({ case: undefined })) }],
    ["chat.messages[0].parts[0].image", { input: chat(user({ case: "image", value: {} })) }],
    ["chat.messages[0].parts[0].document", { input: chat(user({ case: "document", value: {} })) }],
    ["chat.messages[0].parts[0].tool_use", { input: chat(user({ case: "toolUse", value: { id: "1", name: "f" } })) }],
    ["chat.messages[0].parts[0].thinking", { input: chat(user({ case: "thinking", value: { text: "x" } })) }],
    [
      "chat.messages[0].parts[0].tool_result",
      { input: chat(assistant({ case: "toolResult", value: { toolUseId: "1" } })) },
    ],
    ["tool_choice.mode", { toolChoice: {} }],
    ["response_format", { responseFormat: {} }],
    ["reasoning.effort", { reasoning: { amount: { case: "effort", value: Reasoning_Effort.UNSPECIFIED } } }],
    [
      "reasoning.budget_tokens",
      { maxOutputTokens: 2000, reasoning: { amount: { case: "budgetTokens", value: 2000 } } },
    ],
  ])("refuses a wrong %s", (field, init) => {
    expect(() => encode(init)).toThrow(expect.objectContaining({ reason: "INVALID_REQUEST", field }));
  });
});

describe("counting tokens", () => {
  it("asks with what makes up the prompt, and nothing else", () => {
    const init: RequestInit = {
      maxOutputTokens: 5,
      temperature: 1,
      stopSequences: ["x"],
      tools: [{ name: "f" }],
      providerOptions: { x: 1 },
    };
    expect(countTokens.count?.encode(makeRequest(init), "claude-x")).toEqual({
      model: "claude-x",
      messages: hello,
      tools: [{ name: "f", input_schema: { type: "object", properties: {} } }],
    });
  });

  it("reads the count", () => {
    expect(countTokens.count?.decode({ input_tokens: 14 })).toBe(14);
    for (const body of [null, [], {}, { input_tokens: "14" }, { input_tokens: -1 }])
      expect(() => countTokens.count?.decode(body)).toThrow(expect.objectContaining({ name: "UnreadableAnswerError" }));
  });
});
