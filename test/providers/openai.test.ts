import { describe, expect, it } from "vitest";
import { type JsonObject, scanJsonObject } from "../../src/lib/json.js";
import { openai, openaiCompatible } from "../../src/providers/openai.js";
import type { Rewrite } from "../../src/providers/provider.js";
import { apiOf } from "./requests.js";

const chat = apiOf(openai, "chat_completions");
const native: Rewrite = { model: "gpt-x", endUser: undefined, sourcegraph: undefined };
const instance: Rewrite = { model: "gpt-x", endUser: "6452:42", sourcegraph: { maxTokens: 4000 } };

const scan = (text: string): JsonObject => scanJsonObject(Buffer.from(text));

function rewritten(text: string, rewrite: Rewrite): string {
  const body = scan(text);
  return body.with(chat.rewrite(body, rewrite)).toString();
}

describe("what a chat request asks for", () => {
  it.each([
    ['{"model":"m","messages":[]}', { stream: false, maxOutputTokens: undefined }],
    ['{"model":"m","messages":[],"stream":true,"max_tokens":10}', { stream: true, maxOutputTokens: 10 }],
    ['{"model":"m","messages":[],"max_tokens":10,"max_completion_tokens":20}', { stream: false, maxOutputTokens: 20 }],
    ['{"model":"m","messages":[],"max_tokens":10,"n":3}', { stream: false, maxOutputTokens: 30 }],
    ['{"model":"m","messages":[],"max_tokens":10,"n":-3}', { stream: false, maxOutputTokens: 10 }],
    [
      '{"model":"m","messages":[],"max_tokens":null,"n":null,"stream":null}',
      { stream: false, maxOutputTokens: undefined },
    ],
  ])("reads %s", (text, expected) => {
    expect(chat.read(scan(text))).toEqual({ model: "m", ...expected });
  });

  it.each([
    ['{"messages":[]}', "model"],
    ['{"model":"m"}', "messages"],
    ['{"model":"m","messages":{}}', "messages"],
    ['{"model":"m","messages":[],"stream":"yes"}', "stream"],
    ['{"model":"m","messages":[],"n":"2"}', "n"],
  ])("refuses %s", (text, field) => {
    expect(() => chat.read(scan(text))).toThrow(expect.objectContaining({ reason: "INVALID_REQUEST", field }));
  });
});

describe("what is changed in a chat request", () => {
  it("sets the model and leaves every other byte", () => {
    const text = ' {"seed":9007199254740993, "model" : "openai/gpt-x","top_p":-1,"n":3, "user":"me","messages":[]} ';
    expect(rewritten(text, native)).toBe(text.replace("openai/gpt-x", "gpt-x"));
  });

  it("names the end user", () => {
    expect(rewritten('{"model":"gpt-x","user":"me"}', instance)).toBe('{"model":"gpt-x","user":"6452:42"}');
    expect(rewritten('{"model":"gpt-x","user":7}', instance)).toBe('{"model":"gpt-x","user":"6452:42"}');
    expect(rewritten('{"model":"gpt-x"}', instance)).toBe('{"model":"gpt-x","user":"6452:42"}');
  });

  it.each([
    ["", ',"stream_options":{"include_usage":true}'],
    [',"stream_options":null', ',"stream_options":{"include_usage":true}'],
    [',"stream_options":{"include_usage":false}', ',"stream_options":{"include_usage":true}'],
    [',"stream_options":{ "x":1.0 }', ',"stream_options":{ "x":1.0 ,"include_usage":true}'],
    [',"stream_options":{"include_usage": true}', ',"stream_options":{"include_usage": true}'],
  ])("asks a stream for its usage where the caller said %j", (said, expected) => {
    expect(rewritten(`{"model":"gpt-x","stream":true${said}}`, native)).toBe(
      `{"model":"gpt-x","stream":true${expected}}`,
    );
  });

  it("asks nothing that is no stream for its usage", () => {
    expect(rewritten('{"model":"gpt-x","stream":false}', native)).toBe('{"model":"gpt-x","stream":false}');
  });

  it("corrects the slips of existing Sourcegraph clients, for them only", () => {
    const slips = '"n":3,"top_p":-1,"temperature":-1,"max_tokens":-1,"presence_penalty":-0.5,"frequency_penalty":0';
    expect(JSON.parse(rewritten(`{"model":"gpt-x","user":"6452:42",${slips}}`, instance))).toEqual({
      model: "gpt-x",
      user: "6452:42",
      n: 1,
      presence_penalty: -0.5,
      frequency_penalty: 0,
    });
    expect(rewritten(`{"model":"gpt-x",${slips}}`, native)).toBe(`{"model":"gpt-x",${slips}}`);
  });
});

it("has all texts of the conversation as its prompt", () => {
  const body = JSON.stringify({
    model: "m",
    messages: [
      { role: "system", content: "Be brief" },
      {
        role: "user",
        content: [
          { type: "text", text: "What is this?" },
          { type: "image_url", image_url: { url: "x" } },
        ],
      },
      { role: "assistant", content: null, tool_calls: [] },
      { role: "tool", content: "12 °C" },
    ],
    tools: [],
  });
  expect(chat.prompt(scan(body))).toBe("Be brief\nWhat is this?\n12 °C\n[]");
});

describe("OpenAI's errors", () => {
  it.each([
    [400, "INVALID_REQUEST", "invalid_request_error", "invalid_request"],
    [400, "MODEL_NOT_ALLOWED", "invalid_request_error", "model_not_found"],
    [401, "TOKEN_INVALID", "invalid_request_error", "invalid_api_key"],
    [429, "QUOTA_EXCEEDED", "insufficient_quota", "insufficient_quota"],
    [429, "TOO_MANY_IN_FLIGHT", "rate_limit_error", "rate_limit_exceeded"],
    [503, "UPSTREAM_UNAVAILABLE", "server_error", "upstream_unavailable"],
  ])("%i %s is %s, %s", (status, reason, type, code) => {
    expect(openai.errorBody({ status, reason, message: "no" }, "req-1")).toEqual({
      error: { message: "no", type, param: null, code },
    });
  });

  it.each([
    ['{"error":"model not found"}', "model not found"],
    ['{"object":"error","message":"too long","code":400}', "too long"],
    ['{"detail":"Not Found"}', "Not Found"],
    ['{"detail":[{"loc":["body"]}]}', undefined],
  ])("reads %s of a compatible server", (body, message) => {
    expect(openaiCompatible.readError(Buffer.from(body))).toBe(message);
  });
});

describe("what a chat stream used", () => {
  it.each([
    ['{"choices":[],"usage" : {"prompt_tokens":1,"completion_tokens":0}}', { inputTokens: 1, outputTokens: 0 }],
    ['{"choices":[],"usage":\n{"prompt_tokens":1}}', { inputTokens: 1 }],
    ['{"choices":[],"usage":null}', {}],
    ['{"choices":[{"delta":{"content":"\\"usage\\":{\\"prompt_tokens\\":9}"}}],"usage":null}', {}],
    ['{"choices":[{"delta":{"usage":{"prompt_tokens":9}}}]}', {}],
    ['{"usage":null,"x":{"usage":{"prompt_tokens":9}}}', {}],
    [
      '{"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":1,"cache_write_tokens":0}}}',
      { inputTokens: 1, cachedInputTokens: 1, cacheWriteTokens: 0 },
    ],
  ])("%s", (data, usage) => {
    const meter = chat.meter();
    meter.event(Buffer.from(data));
    expect(meter.usage).toEqual(usage);
  });

  it("takes the last report of each count", () => {
    const meter = chat.meter();
    meter.event(Buffer.from('{"usage":{"prompt_tokens":1,"completion_tokens":1}}'));
    meter.event(Buffer.from('{"usage":{"completion_tokens":7}}'));
    expect(meter.usage).toEqual({ inputTokens: 1, outputTokens: 7 });
  });

  it.each([
    ["[DONE]", "complete"],
    [" [DONE]", undefined],
    ["[DONE] ", "complete"],
    ["[DONE]x", undefined],
    ['{"error":null,"choices":[]}', undefined],
    ['{"choices":[{"delta":{"content":"error"}}]}', undefined],
    ['{"error":{"message":"x"}}', "error"],
    ['{"error":"x"}', "error"],
  ])("after %s the stream is %s", (data, ended) => {
    const meter = chat.meter();
    meter.event(Buffer.from(data));
    expect(meter.ended).toBe(ended);
  });
});
