import { describe, expect, it } from "vitest";
import { anthropic } from "../../src/providers/anthropic.js";
import { openai } from "../../src/providers/openai.js";
import type { Provider } from "../../src/providers/provider.js";
import type { TypedEvent } from "../../src/providers/typed.js";
import { assemble, plainAnswer } from "./assemble.js";
import { apiOf } from "./requests.js";

const start = { type: "message_start", message: { id: "m", type: "message", usage: { input_tokens: 1 } } };
const block = (index: number, content_block: object) => ({ type: "content_block_start", index, content_block });
const textBlock = (index: number) => block(index, { type: "text", text: "" });
const delta = (index: number, fields: object) => ({ type: "content_block_delta", index, delta: fields });
const textDelta = (index: number, text: string) => delta(index, { type: "text_delta", text });
const stop = (index: number) => ({ type: "content_block_stop", index });
const end = { type: "message_stop" };

describe("an Anthropic stream as typed events", () => {
  it("keeps blocks apart whose deltas alternate", () => {
    const events = [
      start,
      textBlock(0),
      textBlock(1),
      textDelta(0, "a"),
      textDelta(1, "b"),
      textDelta(0, "c"),
      stop(1),
      stop(0),
      end,
    ];
    expect(read(anthropic, events)).toMatchObject({ parts: [{ text: "ac" }, { text: "b" }] });
  });

  it("takes what a block begins with", () => {
    const events = [
      start,
      block(0, { type: "text", text: "a" }),
      block(1, { type: "thinking", thinking: "t", signature: "s" }),
      block(2, { type: "tool_use", id: "1", name: "f", input: { x: 1 } }),
      end,
    ];
    expect(read(anthropic, events)).toMatchObject({
      parts: [{ text: "a" }, { thinking: "t", signature: "s" }, { toolUse: { id: "1", name: "f", input: { x: 1 } } }],
    });
  });

  it("closes blocks that the end left open", () => {
    expect(read(anthropic, [start, textBlock(0), textDelta(0, "a"), end])).toMatchObject({
      parts: [{ text: "a" }],
      stopReason: "UNSPECIFIED",
    });
  });

  it("passes over events, blocks and deltas that it does not know, and all that comes after the end", () => {
    const unknown = [
      { type: "ping" },
      { type: "new_event" },
      block(0, { type: "new_block" }),
      delta(0, { type: "new" }),
      stop(0),
    ];
    const events = [
      start,
      ...unknown,
      textBlock(1),
      delta(1, { type: "citations_delta" }),
      textDelta(1, "a"),
      end,
      start,
      end,
    ];
    expect(read(anthropic, events)).toMatchObject({ id: "m", parts: [{ text: "a" }] });
  });

  it.each([
    ["end_turn", "END_TURN"],
    ["max_tokens", "MAX_TOKENS"],
    ["model_context_window_exceeded", "MAX_TOKENS"],
    ["stop_sequence", "STOP_SEQUENCE"],
    ["tool_use", "TOOL_USE"],
    ["refusal", "REFUSAL"],
    ["pause_turn", "OTHER"],
    ["something_new", "OTHER"],
    [null, "UNSPECIFIED"],
    [undefined, "UNSPECIFIED"],
  ])("says that %s is %s", (stop_reason, stopReason) => {
    const events = [start, { type: "message_delta", delta: { stop_reason } }, end];
    expect(read(anthropic, events)).toMatchObject({ stopReason });
  });

  it.each<[string, object[]]>([
    ["begins twice", [start, start, end]],
    ["has a block before its beginning", [textBlock(0), end]],
    ["has a block twice", [start, textBlock(0), textBlock(0), end]],
    ["has a block again", [start, textBlock(0), stop(0), textBlock(0), end]],
    [
      "has a block without an index",
      [start, { type: "content_block_start", content_block: { type: "text", text: "" } }],
    ],
    ["has a delta of no block", [start, textDelta(0, "a"), end]],
    ["has a delta of a closed block", [start, textBlock(0), stop(0), textDelta(0, "a"), end]],
    ["has a delta of another kind", [start, textBlock(0), delta(0, { type: "thinking_delta", thinking: "a" }), end]],
    ["has a delta without its text", [start, textBlock(0), delta(0, { type: "text_delta" }), end]],
    ["has a tool use without a name", [start, block(0, { type: "tool_use", id: "1" }), end]],
    ["closes a block twice", [start, textBlock(0), stop(0), stop(0), end]],
    ["ends before its beginning", [end]],
    ["does not end", [start, textBlock(0), stop(0)]],
    ["has no type", [{ message: {} }]],
    ["reports an error", [start, { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }]],
  ])("throws when it %s", (_what, events) => {
    expect(() => read(anthropic, events)).toThrow(expect.objectContaining({ name: "UnreadableAnswerError" }));
  });

  it("tells the error in the upstream's words", () => {
    expect(() => read(anthropic, [start, { type: "error", error: { message: "Over\nloaded" } }])).toThrow(
      "the upstream reports an error: Over loaded",
    );
  });
});

const chunk = (fields: object, finish_reason: string | null = null) => ({
  id: "c",
  choices: [{ index: 0, delta: fields, finish_reason }],
});
const call = (index: number | undefined, name: string | undefined, args?: unknown, id?: string) =>
  chunk({ tool_calls: [{ index, id, function: { name, arguments: args } }] });
const last = chunk({}, "stop");

describe("a chat stream as typed events", () => {
  it("begins with the first chunk that has something to say", () => {
    const azure = { id: "", choices: [], prompt_filter_results: [] };
    expect(read(openai, [azure, chunk({ content: "a" }), last, "[DONE]"])).toMatchObject({
      id: "c",
      parts: [{ text: "a" }],
    });
  });

  it("keeps tool calls apart whose deltas alternate", () => {
    const events = [
      call(0, "f", "", "1"),
      call(1, "g", "", "2"),
      call(0, undefined, '{"x"'),
      call(1, undefined, "{}"),
      call(0, undefined, ":1}"),
      chunk({}, "tool_calls"),
    ];
    expect(read(openai, [...events, "[DONE]"])).toMatchObject({
      parts: [{ toolUse: { id: "1", name: "f", input: { x: 1 } } }, { toolUse: { id: "2", name: "g", input: {} } }],
      stopReason: "TOOL_USE",
    });
  });

  it("goes on with the last call where a server gives neither index nor name", () => {
    const events = [call(undefined, "f", '{"x":', "1"), call(undefined, undefined, "1}"), call(undefined, "g", null)];
    expect(read(openai, [...events, last, "[DONE]"])).toMatchObject({
      parts: [{ toolUse: { id: "1", name: "f", input: { x: 1 } } }, { toolUse: { id: "c_1", name: "g", input: {} } }],
    });
  });

  it("makes a part of each run of text and of thinking", () => {
    const events = [
      chunk({ reasoning: "t" }),
      chunk({ content: "a" }),
      chunk({ content: "b" }),
      call(0, "f", "{}"),
      chunk({ content: "c" }),
      last,
    ];
    expect(read(openai, [...events, "[DONE]"])).toMatchObject({
      parts: [{ thinking: "t" }, { text: "ab" }, { toolUse: { name: "f" } }, { text: "c" }],
    });
  });

  it("ends without [DONE] when it has a reason to", () => {
    expect(read(openai, [chunk({ content: "a" }), last])).toMatchObject({
      parts: [{ text: "a" }],
      stopReason: "END_TURN",
    });
  });

  it("passes over all that comes after the end", () => {
    expect(read(openai, [last, "[DONE]", chunk({ content: "a" }), "nonsense"])).toMatchObject({ parts: [] });
  });

  it.each([
    ["stop", "END_TURN"],
    ["length", "MAX_TOKENS"],
    ["tool_calls", "TOOL_USE"],
    ["function_call", "TOOL_USE"],
    ["content_filter", "CONTENT_FILTER"],
    ["something_new", "OTHER"],
  ])("says that %s is %s", (reason, stopReason) => {
    expect(read(openai, [chunk({}, reason), "[DONE]"])).toMatchObject({ stopReason });
    expect(whole({ choices: [{ message: {}, finish_reason: reason }] })).toMatchObject({
      id: "",
      stopReason,
      parts: [],
    });
  });

  it.each<[string, (object | string)[]]>([
    ["has no choices", [{ id: "c" }]],
    ["has a choice that is none", [{ id: "c", choices: ["x"] }]],
    ["has a call without a name", [call(0, undefined, "{}")]],
    ["has content that is none", [chunk({ content: 7 })]],
    ["is no JSON", ["<html>"]],
    ["reports an error", [chunk({ content: "a" }), { error: { message: "no" } }]],
    ["reports an error in few words", [{ error: "no", choices: [] }]],
    ["does not end", [chunk({ content: "a" })]],
  ])("throws when it %s", (_what, events) => {
    expect(() => read(openai, events)).toThrow(expect.objectContaining({ name: "UnreadableAnswerError" }));
  });
});

describe("a whole chat answer as a typed one", () => {
  it("joins content that comes in parts", () => {
    const content = [{ type: "text", text: "a" }, { type: "other" }, { type: "text", text: "b" }];
    expect(whole({ choices: [{ message: { content } }] })).toMatchObject({
      parts: [{ text: "ab" }],
      stopReason: "UNSPECIFIED",
    });
  });

  it("takes arguments as text or as they are", () => {
    for (const args of ['{"x":1}', { x: 1 }])
      expect(whole({ id: "c", choices: [{ message: { tool_calls: toolCall({ arguments: args }) } }] })).toMatchObject({
        parts: [{ toolUse: { id: "c_0", name: "f", input: { x: 1 } } }],
      });
  });

  it("leaves out a call that the token limit cut off, and refuses any other that is broken", () => {
    const cutOff = { content: "a", tool_calls: toolCall({ arguments: '{"x":' }) };
    expect(whole({ choices: [{ message: cutOff, finish_reason: "length" }] })).toMatchObject({
      parts: [{ text: "a" }],
      stopReason: "MAX_TOKENS",
    });
    expect(() => whole({ choices: [{ message: cutOff, finish_reason: "tool_calls" }] })).toThrow(
      "tool arguments are not a JSON object",
    );
  });

  it("has a refusal as text, with its reason", () => {
    expect(whole({ choices: [{ message: { content: null, refusal: "No." }, finish_reason: "stop" }] })).toMatchObject({
      parts: [{ text: "No." }],
      stopReason: "REFUSAL",
    });
  });
});

/** What a caller makes of these events; texts are payloads as they stand. */
function read(provider: Provider, payloads: readonly (object | string)[]) {
  const decoder = provider.apis
    .find(({ name }) => name === "chat_completions" || name === "messages")
    ?.typed?.decoder();
  if (!decoder) throw new Error("no typed API");
  const events: TypedEvent[] = [];
  for (const payload of payloads)
    events.push(...decoder.event(typeof payload === "string" ? payload : JSON.stringify(payload)));
  return assemble([...events, ...decoder.end()]);
}

function whole(body: object) {
  const { typed } = apiOf(openai, "chat_completions");
  if (!typed) throw new Error("no typed API");
  return plainAnswer(typed.decode(body));
}

function toolCall(fields: object): object[] {
  return [{ function: { name: "f", ...fields } }];
}
