import { describe, expect, it } from "vitest";
import { type JsonObject, scanJsonObject } from "../../src/lib/json.js";
import { anthropic } from "../../src/providers/anthropic.js";
import type { Rewrite } from "../../src/providers/provider.js";
import { apiOf } from "./requests.js";

const messages = apiOf(anthropic, "messages");
const countTokens = apiOf(anthropic, "count_tokens");
const native: Rewrite = { model: "claude-x", endUser: undefined, sourcegraph: undefined };
const instance: Rewrite = { model: "claude-x", endUser: "6452:42", sourcegraph: { maxTokens: 4000 } };

const scan = (text: string): JsonObject => scanJsonObject(Buffer.from(text));

function rewritten(text: string, rewrite: Rewrite, api = messages): string {
  const sent = scan(text);
  return sent.with(api.rewrite(sent, rewrite)).toString();
}

describe("what a Messages request asks for", () => {
  it("reads model, stream and output cap", () => {
    const asked = scan('{"model":"anthropic/claude-x","messages":[],"stream":true,"max_tokens":1024.0}');
    expect(messages.read(asked)).toEqual({ model: "anthropic/claude-x", stream: true, maxOutputTokens: 1024 });
  });

  it("takes null for absent", () => {
    const asked = scan('{"model":"m","messages":[],"stream":null,"max_tokens":null}');
    expect(messages.read(asked)).toEqual({ model: "m", stream: false, maxOutputTokens: undefined });
  });

  it("leaves alone what the gateway need not know", () => {
    const asked = scan('{"model":"m","messages":[7,{"role":"robot"}],"temperature":"hot","tools":{},"new_field":[1]}');
    expect(messages.read(asked).model).toBe("m");
  });

  it.each([
    ['{"messages":[]}', "model", "model must be a string"],
    ['{"model":["m"],"messages":[]}', "model", "model must be a string"],
    ['{"model":"\\x","messages":[]}', "model", "model is not valid JSON"],
    ['{"model":"m"}', "messages", 'request body must contain "messages" field'],
    ['{"model":"m","messages":null}', "messages", 'request body must contain "messages" field'],
    ['{"model":"m","messages":"hi"}', "messages", "messages must be an array"],
    ['{"model":"m","messages":[],"stream":"true"}', "stream", "stream must be true or false"],
    ['{"model":"m","messages":[],"max_tokens":"10"}', "max_tokens", "max_tokens must be a number"],
  ])("refuses %s", (text, field, message) => {
    expect(() => messages.read(scan(text))).toThrow(
      expect.objectContaining({ reason: "INVALID_REQUEST", field, message }),
    );
  });

  it("counts tokens of a request that streams as of any other", () => {
    const asked = scan('{"model":"m","messages":[],"stream":true,"max_tokens":5}');
    expect(countTokens.read(asked)).toEqual({ model: "m", stream: false, maxOutputTokens: undefined });
  });
});

describe("what is changed in a native Messages request", () => {
  it("sets the model and leaves every other byte", () => {
    const text =
      ' {"seed":9007199254740993, "model" : "anthropic/claude-x","t":1.0,"messages":[ {"role":"system"} ],"top_p":-1} ';
    expect(rewritten(text, native)).toBe(text.replace("anthropic/claude-x", "claude-x"));
  });

  it("leaves a model alone that is the same under escapes", () => {
    const text = '{"model":"claude\\u002dx","messages":[]}';
    expect(rewritten(text, native)).toBe(text);
  });

  it.each([
    [
      "no metadata",
      '{"model":"claude-x","messages":[]}',
      '{"model":"claude-x","messages":[],"metadata":{"user_id":"a\\"b:1"}}',
    ],
    ["null", '{"model":"claude-x","metadata":null}', '{"model":"claude-x","metadata":{"user_id":"a\\"b:1"}}'],
    [
      "other metadata",
      '{"model":"claude-x","metadata":{ "x":1.0 }}',
      '{"model":"claude-x","metadata":{ "x":1.0 ,"user_id":"a\\"b:1"}}',
    ],
    [
      "another user",
      '{"model":"claude-x","metadata":{"user_id":"you"}}',
      '{"model":"claude-x","metadata":{"user_id":"a\\"b:1"}}',
    ],
  ])("names the end user where there was %s", (_what, text, expected) => {
    expect(rewritten(text, { ...native, endUser: 'a"b:1' })).toBe(expected);
  });

  it("refuses metadata that could name two users", () => {
    for (const metadata of ['"x"', "[]", '{"user_id":1,"user_id":2}', '{"user_id":1,"USER_ID":2}'])
      expect(() => rewritten(`{"model":"claude-x","metadata":${metadata}}`, instance)).toThrow(
        expect.objectContaining({ field: "metadata" }),
      );
  });

  it("names no end user to count_tokens, which refuses it", () => {
    expect(rewritten('{"model":"m","messages":[]}', instance, countTokens)).toBe('{"model":"claude-x","messages":[]}');
  });
});

describe("what is changed for existing Sourcegraph instances", () => {
  it("moves a system prompt in front to where Anthropic wants it, and keeps the bytes of the others", () => {
    const others =
      '{"role":"user", "content":[{"type":"text","text":"\\u00e9","n":1.0}]},{"role":"assistant","content":"ok"}';
    const text = body(`"messages":[ {"role":"system","content":[{"type":"text","text":"You are Cody"}]} , ${others}]`);
    const sent = rewritten(text, instance);
    expect(JSON.parse(sent).system).toBe("You are Cody");
    expect(sent).toContain(`"messages":[${others}]`);
  });

  it.each([
    ['"Be brief"', "Be brief"],
    ['""', undefined],
    ["[]", undefined],
    ["null", undefined],
    ["7", undefined],
    ['[{"type":"text","text":""}]', undefined],
    ['[{"type":"image","source":{}}]', undefined],
    ['[null,{"type":"text"},{"type":"text","text":"a"}]', "a"],
    [
      '[{"type":"text","text":"a"},{"type":"text","text":"b"}]',
      [
        { type: "text", text: "a" },
        { type: "text", text: "b" },
      ],
    ],
    [
      '[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]',
      [{ type: "text", text: "a", cache_control: { type: "ephemeral" } }],
    ],
  ])("takes a system message with content %s", (content, system) => {
    const sent = rewrittenFields(
      `"system":"mine","messages":[{"role":"system","content":${content}},{"role":"user","content":"x"}]`,
    );
    expect(sent).toEqual({ ...(system !== undefined && { system }), messages: [{ role: "user", content: "x" }] });
  });

  it("discards the client's own system, as it always was", () => {
    expect(rewrittenFields('"system":"mine","messages":[{"role":"user","content":"x"}]')).toEqual({
      messages: [{ role: "user", content: "x" }],
    });
  });

  it("looks for a system prompt in front only", () => {
    const fields = { messages: [{ role: "user" }, { role: "system", content: "x" }] };
    expect(rewrittenFields(`"messages":${JSON.stringify(fields.messages)}`)).toEqual(fields);
  });

  it("drops -1, which stands for not set, and keeps an explicit 0", () => {
    expect(rewrittenFields('"messages":[],"top_p":-1,"top_k":-1,"temperature":0')).toEqual({
      messages: [],
      temperature: 0,
    });
    expect(rewrittenFields('"messages":[],"top_p":0,"top_k":0')).toEqual({ messages: [], top_p: 0, top_k: 0 });
  });

  it("keeps fields that it does not know", () => {
    expect(rewrittenFields('"messages":[],"tools":[{"name":"t"}],"x":null')).toEqual({
      messages: [],
      tools: [{ name: "t" }],
      x: null,
    });
  });

  it("holds to the cap on output tokens", () => {
    expect(rewrittenFields('"messages":[],"max_tokens":4000')).toEqual({ messages: [], max_tokens: 4000 });
    expect(() => rewritten(body('"messages":[],"max_tokens":4001'), instance)).toThrow(
      "max_tokens exceeds maximum allowed value of 4000: 4001",
    );
    expect(rewritten('{"model":"claude-x","messages":[],"max_tokens":4001}', native)).toContain("4001");
  });

  it("does not take a million elements for a conversation", () => {
    const many = Array.from({ length: 100_001 }, () => "1").join();
    expect(() => rewritten(body(`"messages":[${many}]`), instance)).toThrow(
      expect.objectContaining({ field: "messages" }),
    );
  });
});

describe("the prompt of a Messages request", () => {
  it("has all its texts, by speaker", () => {
    const text = messages.prompt(
      scan(
        JSON.stringify({
          model: "m",
          system: [{ type: "text", text: "Be brief" }],
          messages: [
            { role: "user", content: "Hello" },
            {
              role: "assistant",
              content: [
                { type: "text", text: "Hi" },
                { type: "tool_use", id: "t", name: "weather", input: { at: 'the "Eck"' } },
              ],
            },
            { role: "user", content: [{ type: "tool_result", content: [{ type: "text", text: "12 °C" }] }] },
            { role: "robot", content: "x" },
            null,
          ],
          tools: [{ name: "t" }],
        }),
      ),
    );
    expect(text).toBe(
      'System: Be brief\n\nHuman: Hello\n\nAssistant: Hi\nweather\n{"at":"the "Eck""}\n\nHuman: 12 °C\n\nHuman: x\n\n[{"name":"t"}]\n\n',
    );
  });
});

describe("Anthropic's errors", () => {
  it.each([
    [400, "invalid_request_error"],
    [401, "authentication_error"],
    [403, "permission_error"],
    [404, "not_found_error"],
    [413, "request_too_large"],
    [422, "invalid_request_error"],
    [429, "rate_limit_error"],
    [500, "api_error"],
    [503, "overloaded_error"],
    [504, "timeout_error"],
    [529, "overloaded_error"],
  ])("%i is %s", (status, type) => {
    expect(anthropic.errorBody({ status, reason: "INTERNAL", message: "no" }, "req-1")).toEqual({
      type: "error",
      error: { type, message: "no" },
      request_id: "req-1",
    });
  });
});

it("lists models as Anthropic does", () => {
  expect(anthropic.modelList?.write(["a", "b"])).toEqual({
    data: [
      { type: "model", id: "a", display_name: "a", created_at: "1970-01-01T00:00:00Z" },
      { type: "model", id: "b", display_name: "b", created_at: "1970-01-01T00:00:00Z" },
    ],
    has_more: false,
    first_id: "a",
    last_id: "b",
  });
  expect(anthropic.modelList?.write([])).toEqual({ data: [], has_more: false, first_id: null, last_id: null });
});

it("does not count the beginning of an answer as its output", () => {
  const meter = messages.meter();
  meter.event(Buffer.from('{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}'));
  expect(meter.usage).toEqual({ inputTokens: 5 });
});

it("takes a count of tokens for no usage", () => {
  const meter = countTokens.meter();
  expect(meter.ended).toBeUndefined();
  meter.event(Buffer.from('{"type":"message_stop"}'));
  expect(meter.ended).toBeUndefined();
  meter.whole(Buffer.from('{"input_tokens":14}'));
  expect([meter.usage, meter.ended]).toEqual([{}, "complete"]);
});

it("reads events whose members come in another order", () => {
  const meter = messages.meter();
  meter.event(Buffer.from('{ "usage" : {"output_tokens":3} , "delta" : {} , "type" : "message_delta" }'));
  meter.event(Buffer.from('{"delta":{"text":"\\"message_stop\\""},"type":"content_block_delta"}'));
  expect([meter.usage, meter.ended]).toEqual([{ outputTokens: 3 }, undefined]);
  meter.event(Buffer.from('{"x":1,"type":"message_stop"}'));
  expect(meter.ended).toBe("complete");
});

function body(fields: string): string {
  return `{"model":"claude-x","metadata":{"user_id":"6452:42"},${fields}}`;
}

/** What is sent beside model and end user. */
function rewrittenFields(fields: string) {
  const { model, metadata, ...rest } = JSON.parse(rewritten(body(fields), instance));
  expect({ model, metadata }).toEqual({ model: "claude-x", metadata: { user_id: "6452:42" } });
  return rest;
}
