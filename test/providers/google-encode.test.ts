import { describe, expect, it } from "vitest";
import { Reasoning_Effort, ToolChoice_Mode } from "../../gen/codygateway/v1/completions_pb.js";
import { scanJsonObject } from "../../src/lib/json.js";
import { google } from "../../src/providers/google.js";
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

const api = apiOf(google, "generate_content");
const counting = apiOf(google, "count_tokens");
const encode = (init: RequestInit = {}, model = "gemini-2.5-flash") =>
  api.typed?.encode(makeRequest(init), model, false);
const contents = [{ role: "user", parts: [{ text: "Hello" }] }];
const pdf: PartKind = {
  case: "document",
  value: { source: { case: "data", value: bytes }, mediaType: "application/pdf" },
};
const png: PartKind = { case: "image", value: { source: { case: "data", value: bytes }, mediaType: "image/png" } };
const use = (more: object = {}): PartKind => ({
  case: "toolUse",
  value: { id: "t1", name: "f", input: { a: 1 }, ...more },
});
const result = (more: object): PartKind => ({ case: "toolResult", value: { toolUseId: "t1", ...more } });
const kinds = (...parts: PartKind[]) => parts.map((kind) => ({ kind }));

describe("a typed request for Google", () => {
  it("is a body that the native side reads, whatever the model", () => {
    expect(encode()).toEqual({ contents });
    const body = scanJsonObject(Buffer.from(JSON.stringify(encode({ maxOutputTokens: 7 }))));
    expect(api.read(body, { model: "m" })).toEqual({ model: "m", stream: false, maxOutputTokens: 7 });
    expect(api.rewrite(body, { model: "m", endUser: "a:b", sourcegraph: undefined })).toEqual(new Map());
  });

  it.each<[string, RequestInit, object]>([
    [
      "sampling",
      { temperature: 0, topP: 0, topK: 0, presencePenalty: 0, frequencyPenalty: -1, seed: 0n, maxOutputTokens: 1 },
      {
        temperature: 0,
        topP: 0,
        topK: 0,
        presencePenalty: 0,
        frequencyPenalty: -1,
        seed: 0,
        maxOutputTokens: 1,
      },
    ],
    ["stop sequences", { stopSequences: ["a"] }, { stopSequences: ["a"] }],
    ["text", { temperature: 1, responseFormat: { format: { case: "text", value: {} } } }, { temperature: 1 }],
    ["JSON", { responseFormat: { format: { case: "json", value: {} } } }, { responseMimeType: "application/json" }],
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
      { responseMimeType: "application/json", responseJsonSchema: { type: "object", description: "d" } },
    ],
    [
      "a budget",
      { reasoning: { amount: { case: "budgetTokens", value: 5 } } },
      { thinkingConfig: { thinkingBudget: 5, includeThoughts: true } },
    ],
    [
      "an effort",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.MEDIUM } } },
      { thinkingConfig: { thinkingBudget: 8192, includeThoughts: true } },
    ],
    [
      "no thinking",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.NONE } } },
      { thinkingConfig: { thinkingBudget: 0 } },
    ],
    [
      "options of the caller, but for the cap",
      {
        temperature: 1,
        maxOutputTokens: 5,
        providerOptions: { generationConfig: { temperature: 0.5, maxOutputTokens: 9, candidateCount: 1, x: [] } },
      },
      { temperature: 0.5, maxOutputTokens: 5, candidateCount: 1, x: [] },
    ],
  ])("has %s in its configuration", (_name, init, generationConfig) => {
    expect(encode(init)).toEqual({ contents, generationConfig });
  });

  it("has levels in place of budgets for newer models", () => {
    const reasoning = { amount: { case: "effort" as const, value: Reasoning_Effort.LOW } };
    expect(encode({ reasoning }, "gemini-3-pro-preview")).toMatchObject({
      generationConfig: { thinkingConfig: { thinkingLevel: "low", includeThoughts: true } },
    });
  });

  it.each<[string, RequestInit, object]>([
    [
      "a system prompt",
      { input: { case: "chat", value: { system: "Be brief", messages: [user(text("Hello"))] } } },
      { systemInstruction: { parts: [{ text: "Be brief" }] } },
    ],
    [
      "tools",
      { tools: [{ name: "f", description: "d", inputSchema: { type: "object" } }, { name: "g" }] },
      {
        tools: [
          {
            functionDeclarations: [
              { name: "f", description: "d", parametersJsonSchema: { type: "object" } },
              { name: "g" },
            ],
          },
        ],
      },
    ],
    [
      "strict tools",
      { tools: [{ name: "g", strict: true }] },
      {
        tools: [{ functionDeclarations: [{ name: "g" }] }],
        toolConfig: { functionCallingConfig: { mode: "VALIDATED" } },
      },
    ],
    ["tools as it likes", { toolChoice: { mode: ToolChoice_Mode.AUTO } }, calling({ mode: "AUTO" })],
    ["any tool", { toolChoice: { mode: ToolChoice_Mode.ANY, allowParallel: true } }, calling({ mode: "ANY" })],
    ["no tool", { toolChoice: { mode: ToolChoice_Mode.NONE } }, calling({ mode: "NONE" })],
    [
      "one tool",
      { toolChoice: { mode: ToolChoice_Mode.TOOL, toolName: "f" } },
      calling({ mode: "ANY", allowedFunctionNames: ["f"] }),
    ],
    [
      "options of the caller, but no model and no stream",
      { providerOptions: { model: "x", stream: true, safetySettings: [], contents_: 1 } },
      { safetySettings: [], contents_: 1 },
    ],
  ])("has %s", (_name, init, expected) => {
    expect(encode(init)).toEqual({ contents, ...expected });
  });

  it.each<[string, PartKind[], object[]]>([
    ["a picture", [png], [{ inlineData: { mimeType: "image/png", data: encoded } }]],
    [
      "a picture by URL",
      [{ case: "image", value: { source: { case: "url", value: "https://x.example/a" }, mediaType: "image/png" } }],
      [{ fileData: { fileUri: "https://x.example/a", mimeType: "image/png" } }],
    ],
    ["a document", [pdf], [{ inlineData: { mimeType: "application/pdf", data: encoded } }]],
  ])("has %s in a user's turn", (_name, parts, expected) => {
    expect(encode({ input: chat(user(...parts)) })).toEqual({ contents: [{ role: "user", parts: expected }] });
  });

  it("has a turn with thoughts and tools, and their results by name", () => {
    const turn = assistant(
      { case: "thinking", value: { text: "hm", signature: "s1" } },
      text("I look."),
      { case: "thinking", value: { text: "", signature: "s2" } },
      use({ signature: "s3" }),
    );
    const results = tool(
      result({ parts: [...kinds(text("sunny"), png, text("warm"))] }),
      result({ parts: [...kinds(text("no"))], isError: true }),
      result({}),
    );
    expect(encode({ input: chat(user(text("Hello")), turn, results) })).toEqual({
      contents: [
        ...contents,
        {
          role: "model",
          parts: [
            { text: "hm", thought: true, thoughtSignature: "s1" },
            { text: "I look." },
            { text: "", thoughtSignature: "s2" },
            { functionCall: { id: "t1", name: "f", args: { a: 1 } }, thoughtSignature: "s3" },
          ],
        },
        {
          role: "user",
          parts: [
            {
              functionResponse: {
                id: "t1",
                name: "f",
                response: { output: "sunny\nwarm" },
                parts: [{ inlineData: { mimeType: "image/png", data: encoded } }],
              },
            },
            { functionResponse: { id: "t1", name: "f", response: { error: "no" } } },
            { functionResponse: { id: "t1", name: "f", response: { output: "" } } },
          ],
        },
      ],
    });
  });

  it.each<[string, RequestInit, string, string]>([
    ["predicted output", { prediction: "x" }, "prediction", "CAPABILITY_MISSING"],
    ["a prompt", { input: { case: "prompt", value: { text: "x" } } }, "prompt", "CAPABILITY_MISSING"],
    [
      "one tool at a time",
      { toolChoice: { mode: ToolChoice_Mode.AUTO, allowParallel: false } },
      "tool_choice.allow_parallel",
      "CAPABILITY_MISSING",
    ],
    [
      "the title of a document",
      { input: chat(user({ case: "document", value: { ...pdf.value, title: "t" } as never })) },
      "chat.messages[0].parts[0].document.title",
      "CAPABILITY_MISSING",
    ],
    [
      "thoughts of another provider",
      { input: chat(assistant({ case: "thinking", value: { redactedData: "x" } })) },
      "chat.messages[0].parts[0].thinking.redacted_data",
      "CAPABILITY_MISSING",
    ],
    [
      "a picture by URL in a result",
      {
        input: chat(
          assistant(use()),
          tool(result({ parts: kinds({ case: "image", value: { source: { case: "url", value: "https://x" } } }) })),
        ),
      },
      "chat.messages[1].parts[0].tool_result.parts[0].image.url",
      "CAPABILITY_MISSING",
    ],
    [
      "a result of no use",
      { input: chat(tool(result({}))) },
      "chat.messages[0].parts[0].tool_result.tool_use_id",
      "INVALID_REQUEST",
    ],
    ["a turn of nobody", { input: chat(nobody(text("x"))) }, "chat.messages[0].role", "INVALID_REQUEST"],
    ["a picture of the assistant's", { input: chat(assistant(png)) }, "chat.messages[0].parts[0]", "INVALID_REQUEST"],
    [
      "more than one answer",
      { providerOptions: { generationConfig: { candidateCount: 2 } } },
      "provider_options.generationConfig.candidateCount",
      "INVALID_REQUEST",
    ],
    [
      "its configuration in another spelling",
      { providerOptions: { generation_config: {} } },
      "provider_options.generation_config",
      "INVALID_REQUEST",
    ],
  ])("refuses %s, naming the field", (_name, init, field, reason) => {
    expect(() => encode(init)).toThrow(expect.objectContaining({ field, reason }));
  });

  it("is counted whole", () => {
    const init: RequestInit = { tools: [{ name: "f" }], temperature: 1 };
    const body = counting.count?.encode(makeRequest(init), "gemini-x") ?? {};
    expect(body).toEqual({
      generateContentRequest: {
        model: "models/gemini-x",
        contents,
        tools: [{ functionDeclarations: [{ name: "f" }] }],
      },
    });
    expect(counting.count?.decode({ totalTokens: 7 })).toBe(7);
    for (const wrong of [{}, { totalTokens: -1 }, { totalTokens: "7" }, null])
      expect(() => counting.count?.decode(wrong)).toThrow(expect.objectContaining({ name: "UnreadableAnswerError" }));
  });
});

function calling(functionCallingConfig: object): object {
  return { toolConfig: { functionCallingConfig } };
}
