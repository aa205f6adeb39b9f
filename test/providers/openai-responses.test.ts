import { describe, expect, it } from "vitest";
import { Reasoning_Effort, ToolChoice_Mode } from "../../gen/codygateway/v1/completions_pb.js";
import { scanJsonObject } from "../../src/lib/json.js";
import { openai } from "../../src/providers/openai.js";
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

const api = apiOf(openai, "responses");
const encode = (init: RequestInit = {}, stream = false) => api.typed?.encode(makeRequest(init), "gpt-x", stream);
const always = { model: "gpt-x", stream: false, store: false, include: ["reasoning.encrypted_content"] };
const input = [{ role: "user", content: [{ type: "input_text", text: "Hello" }] }];
const png: PartKind = { case: "image", value: { source: { case: "data", value: bytes }, mediaType: "image/png" } };
const inputImage = { type: "input_image", image_url: `data:image/png;base64,${encoded}` };
const result = (more: object): PartKind => ({ case: "toolResult", value: { toolUseId: "c1", ...more } });
const kinds = (...parts: PartKind[]) => parts.map((kind) => ({ kind }));

describe("a native request", () => {
  const read = (body: string) => api.read(scanJsonObject(Buffer.from(body)));

  it.each([
    ['{"model":"m","input":"x"}', { stream: false, maxOutputTokens: undefined }],
    [
      '{"model":"m","input":[],"stream":true,"max_output_tokens":5,"background":false}',
      { stream: true, maxOutputTokens: 5 },
    ],
    ['{"model":"m","prompt":{"id":"pmpt_1"}}', { stream: false }],
  ])("reads %s", (body, expected) => {
    expect(read(body)).toMatchObject({ model: "m", ...expected });
  });

  it.each([
    ['{"input":"x"}', "model"],
    ['{"model":"m","background":true}', "background"],
    ['{"model":"m","stream":"yes"}', "stream"],
    ['{"model":"m","max_output_tokens":"5"}', "max_output_tokens"],
  ])("refuses %s", (body, field) => {
    expect(() => read(body)).toThrow(expect.objectContaining({ field }));
  });

  it("changes the model and the end user, and no other byte", () => {
    const body = scanJsonObject(Buffer.from('{ "model":"openai/gpt-x", "input":[ ],"seed":1e400 }'));
    const rewritten = (endUser: string | undefined) =>
      body.with(api.rewrite(body, { model: "gpt-x", endUser, sourcegraph: undefined })).toString();
    expect(rewritten(undefined)).toBe('{ "model":"gpt-x", "input":[ ],"seed":1e400 }');
    expect(rewritten("a:b")).toBe('{ "model":"gpt-x", "input":[ ],"seed":1e400 ,"user":"a:b"}');
  });

  it("has a prompt of instructions, input and tools", () => {
    const body = {
      instructions: "Be brief",
      input: [
        { role: "user", content: [{ type: "input_text", text: "one" }] },
        { type: "function_call", arguments: '{"a":1}' },
        { type: "function_call_output", output: "two" },
        { type: "reasoning", encrypted_content: "xxx" },
      ],
      tools: [{ name: "f" }],
    };
    expect(api.prompt(scanJsonObject(Buffer.from(JSON.stringify(body))))).toBe(
      'Be brief\none\n{"a":1}\ntwo\n[{"name":"f"}]',
    );
    expect(api.prompt(scanJsonObject(Buffer.from('{"input":"hi"}')))).toBe("hi");
  });
});

describe("which typed requests are for it", () => {
  it.each<[string, RequestInit, string, boolean]>([
    ["a plain one", {}, "gpt-4o", false],
    ["one for a model that has no other API", {}, "gpt-5-codex", true],
    ["one for another such model", {}, "o3-pro-2025-06-10", true],
    ["one that reasons", { reasoning: { amount: { case: "effort", value: Reasoning_Effort.LOW } } }, "gpt-5", true],
    [
      "one that reasons and wants what only chats have",
      { seed: 1n, reasoning: { amount: { case: "effort", value: Reasoning_Effort.LOW } } },
      "gpt-5",
      false,
    ],
    ["one with thoughts", { input: chat(assistant({ case: "thinking", value: { text: "x" } })) }, "gpt-5", true],
    ["one with a picture as a tool's result", { input: chat(tool(result({ parts: kinds(png) }))) }, "gpt-4o", true],
    ["one with a text as a tool's result", { input: chat(tool(result({ parts: kinds(text("x")) }))) }, "gpt-4o", false],
    ["a prompt", { input: { case: "prompt", value: { text: "x" } } }, "gpt-5-codex", false],
  ])("%s", (_name, init, model, expected) => {
    const takers = openai.apis.filter(({ typed }) => typed?.takes?.(makeRequest(init), model));
    expect(takers[0]?.name === "responses").toBe(expected);
    expect(takers.length).toBeGreaterThan(0);
  });
});

describe("a typed request", () => {
  it("is a body that the native side reads", () => {
    expect(encode()).toEqual({ ...always, input });
    const body = scanJsonObject(Buffer.from(JSON.stringify(encode({ maxOutputTokens: 7 }, true))));
    expect(api.read(body)).toEqual({ model: "gpt-x", stream: true, maxOutputTokens: 7 });
  });

  it.each<[string, RequestInit, object]>([
    [
      "sampling and a cap",
      { temperature: 0, topP: 0, maxOutputTokens: 1 },
      { temperature: 0, top_p: 0, max_output_tokens: 1 },
    ],
    [
      "a system prompt",
      { input: { case: "chat", value: { system: "Be brief", messages: [user(text("Hello"))] } } },
      { instructions: "Be brief" },
    ],
    [
      "tools",
      { tools: [{ name: "f", description: "d", inputSchema: { type: "object" }, strict: true }, { name: "g" }] },
      {
        tools: [
          { type: "function", name: "f", description: "d", parameters: { type: "object" }, strict: true },
          { type: "function", name: "g", parameters: { type: "object", properties: {} }, strict: false },
        ],
      },
    ],
    [
      "one tool at a time",
      { toolChoice: { mode: ToolChoice_Mode.TOOL, toolName: "f", allowParallel: false } },
      { tool_choice: { type: "function", name: "f" }, parallel_tool_calls: false },
    ],
    ["any tool", { toolChoice: { mode: ToolChoice_Mode.ANY } }, { tool_choice: "required" }],
    ["no tool", { toolChoice: { mode: ToolChoice_Mode.NONE } }, { tool_choice: "none" }],
    ["tools as it likes", { toolChoice: { mode: ToolChoice_Mode.AUTO } }, { tool_choice: "auto" }],
    [
      "JSON with a schema",
      {
        responseFormat: {
          format: { case: "jsonSchema", value: { name: "n", schema: { type: "object" }, strict: true } },
        },
      },
      { text: { format: { type: "json_schema", name: "n", schema: { type: "object" }, strict: true } } },
    ],
    [
      "JSON",
      { responseFormat: { format: { case: "json", value: {} } } },
      { text: { format: { type: "json_object" } } },
    ],
    ["text", { responseFormat: { format: { case: "text", value: {} } } }, { text: { format: { type: "text" } } }],
    [
      "an effort",
      { reasoning: { amount: { case: "effort", value: Reasoning_Effort.HIGH } } },
      { reasoning: { effort: "high" } },
    ],
    [
      "options of the caller, but no model and no stream",
      { providerOptions: { model: "x", stream: true, service_tier: "flex", reasoning: { summary: "auto" } } },
      { service_tier: "flex", reasoning: { summary: "auto" } },
    ],
  ])("has %s", (_name, init, expected) => {
    expect(encode(init)).toEqual({ ...always, input, ...expected });
  });

  it("has a conversation with pictures, documents, thoughts, tools and their results", () => {
    const pdf = { source: { case: "data" as const, value: bytes }, mediaType: "application/pdf", title: "t.pdf" };
    const conversation = chat(
      user(
        text("Look"),
        png,
        { case: "image", value: { source: { case: "url", value: "https://x.example/a" } } },
        { case: "document", value: pdf },
        { case: "document", value: { source: { case: "url", value: "https://x.example/b" } } },
      ),
      assistant(
        { case: "thinking", value: { text: "hm", signature: "rs_1.gAA.=" } },
        text("I "),
        text("look."),
        { case: "toolUse", value: { id: "c1", name: "f", input: { a: 1 } } },
        { case: "toolUse", value: { id: "c2", name: "g" } },
      ),
      tool(
        result({ parts: kinds(text("sunny"), text("warm")) }),
        result({ parts: kinds(text("see"), png) }),
        result({ parts: kinds(text("no")), isError: true }),
        result({ parts: kinds(png), isError: true }),
        result({}),
      ),
      user(text("And?")),
    );
    const output = (value: unknown) => ({ type: "function_call_output", call_id: "c1", output: value });
    expect(encode({ input: conversation })).toMatchObject({
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "Look" },
            inputImage,
            { type: "input_image", image_url: "https://x.example/a" },
            { type: "input_file", filename: "t.pdf", file_data: `data:application/pdf;base64,${encoded}` },
            { type: "input_file", file_url: "https://x.example/b" },
          ],
        },
        { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "hm" }], encrypted_content: "gAA.=" },
        {
          role: "assistant",
          content: [
            { type: "output_text", text: "I " },
            { type: "output_text", text: "look." },
          ],
        },
        { type: "function_call", call_id: "c1", name: "f", arguments: '{"a":1}' },
        { type: "function_call", call_id: "c2", name: "g", arguments: "{}" },
        output("sunny\nwarm"),
        output([{ type: "input_text", text: "see" }, inputImage]),
        output("Error: no"),
        output([{ type: "input_text", text: "Error:" }, inputImage]),
        output(""),
        { role: "user", content: [{ type: "input_text", text: "And?" }] },
      ],
    });
  });

  it.each<[string, RequestInit, string]>([
    ["top_k", { topK: 1 }, "top_k"],
    ["a seed", { seed: 1n }, "seed"],
    ["stop sequences", { stopSequences: ["x"] }, "stop_sequences"],
    ["predicted output", { prediction: "x" }, "prediction"],
    ["a budget of thoughts", { reasoning: { amount: { case: "budgetTokens", value: 5 } } }, "reasoning.budget_tokens"],
    [
      "a signature of a tool use",
      { input: chat(assistant({ case: "toolUse", value: { id: "c", name: "f", signature: "s" } })) },
      "chat.messages[0].parts[0].tool_use.signature",
    ],
    [
      "thoughts of another provider",
      { input: chat(assistant({ case: "thinking", value: { text: "x", signature: "s" } })) },
      "chat.messages[0].parts[0].thinking.signature",
    ],
    [
      "a document that is no PDF",
      {
        input: chat(
          user({ case: "document", value: { source: { case: "data", value: bytes }, mediaType: "text/plain" } }),
        ),
      },
      "chat.messages[0].parts[0].document.media_type",
    ],
    ["a turn of nobody", { input: chat(nobody(text("x"))) }, "chat.messages[0].role"],
    ["a picture of the assistant's", { input: chat(assistant(png)) }, "chat.messages[0].parts[0]"],
  ])("refuses %s, naming the field", (_name, init, field) => {
    expect(() => encode(init)).toThrow(expect.objectContaining({ field }));
  });
});
