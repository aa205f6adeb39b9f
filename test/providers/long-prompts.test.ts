// Long prompts are estimated by their bytes: about as the short ones, which are read.

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { JsonSyntaxError, scanJsonObject } from "../../src/lib/json.js";
import { estimateTokens, tokensOfSize } from "../../src/models/tokens.js";
import { providers } from "../../src/providers/index.js";
import { textSizeOf } from "../../src/providers/long-prompts.js";

const code = readFileSync(new URL(import.meta.url), "utf8").repeat(8);
const german = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(300);
const chinese = "网关决定谁可以使用哪个模型以及用多少。".repeat(900);
/** As images have it: three quarters of a megabyte. */
const base64 = Buffer.alloc(750_000, 7).toString("base64");

const parameters = { type: "object", properties: { path: { type: "string", description: "Where the file is" } } };
const tools = Array.from({ length: 30 }, (_, index) => ({
  type: "function",
  function: { name: `tool_${index}`, description: "Reads a file of the workspace and says what is in it.", parameters },
}));
const texts = { code, german, chinese };

const bodies = (text: string): Readonly<Record<string, readonly [provider: string, api: string, body: object]>> => ({
  "OpenAI chat": [
    "openai",
    "chat_completions",
    {
      model: "gpt-4o",
      messages: [
        { role: "system", content: "You are helpful." },
        {
          role: "user",
          content: [
            { type: "text", text },
            { type: "image_url", image_url: { url: `data:image/png;base64,${base64}` } },
          ],
        },
        {
          role: "assistant",
          tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "call_1", content: text },
      ],
      tools,
    },
  ],
  "OpenAI Responses": ["openai", "responses", { model: "gpt-4o", instructions: text, input: text, tools }],
  "Anthropic messages": [
    "anthropic",
    "messages",
    {
      model: "claude-sonnet-4-0",
      max_tokens: 1000,
      system: [{ type: "text", text, cache_control: { type: "ephemeral" } }],
      messages: [
        {
          role: "user",
          content: [
            { type: "document", source: { type: "text", media_type: "text/plain", data: text } },
            { type: "image", source: { type: "base64", media_type: "image/png", data: base64 } },
            { type: "tool_result", tool_use_id: "toolu_1", content: text },
          ],
        },
        {
          role: "assistant",
          content: [{ type: "tool_use", id: "toolu_2", name: "write", input: { path: "a", text } }],
        },
      ],
      tools,
    },
  ],
  "Google generateContent": [
    "google",
    "generate_content",
    {
      model: "gemini-2.5-pro",
      systemInstruction: { parts: [{ text }] },
      contents: [
        { role: "user", parts: [{ text }, { inlineData: { mimeType: "image/png", data: base64 } }] },
        { role: "model", parts: [{ functionCall: { name: "f", args: { text } } }] },
      ],
      tools,
    },
  ],
});

const cases = Object.entries(texts).flatMap(([kind, text]) =>
  Object.entries(bodies(text)).map(([name, [provider, api, body]]) => [name, kind, provider, api, body] as const),
);

it.each(cases)("%s, %s: about what the words of the prompt are", (_name, _kind, provider, api, body) => {
  const bytes = Buffer.from(JSON.stringify(body));
  const found = providers.find(({ kind: known }) => known === provider)?.apis.find(({ name }) => name === api);

  const exact = estimateTokens(found?.prompt(scanJsonObject(bytes)) ?? "");
  const estimated = tokensOfSize(textSizeOf(bytes));

  expect(exact).toBeGreaterThan(4_000);
  expect(estimated).toBeGreaterThan(exact * 0.98);
  expect(estimated).toBeLessThan(exact * 1.12);
});

it.each(["", "[1", '{"a"', '{"a":}', '{"a":"b"', '{"a":[1,]', "nonsense"])("says that %j is no JSON", (text) => {
  expect(() => textSizeOf(Buffer.from(text))).toThrow(JsonSyntaxError);
});
