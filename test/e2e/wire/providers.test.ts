// wire.md 1.4: where each provider is asked, with which headers, and what of a body is changed on the way.

import { afterAll, beforeAll, describe, it } from "vitest";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { marker, type Wire, wireTo } from "../../helpers/wire.js";

let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  gw = await testGateway({ env: { CODY_GATEWAY_OPENAI_ORG_ID: "org-of-the-gateway" } });
  wire = wireTo(gw);
});
afterAll(() => gw[Symbol.asyncDispose]());

const code = "X-Sourcegraph-Feature: code_completions";
const uid = "X-Sourcegraph-Actor-UID: 42";
const errorOf = ({ body }: { body: string }): string => (JSON.parse(body) as { error: string }).error;

const anthropic = (content: unknown, more: object = {}) => ({
  model: "claude-3-haiku-20240307",
  max_tokens: 10,
  messages: [{ role: "user", content }],
  ...more,
});
const llama = "accounts/fireworks/models/mixtral-8x7b-instruct";
const google = (text: string, more: object = {}) => ({
  model: "gemini-1.5-flash",
  contents: [{ role: "user", parts: [{ text }] }],
  ...more,
});

describe.concurrent("1.4 providers", () => {
  it.for([
    [
      "/v1/completions/anthropic",
      (text: string) => ({ model: "claude-2.0", prompt: `\n\nHuman: ${text}\n\nAssistant:`, max_tokens_to_sample: 9 }),
      "/v1/complete",
      { "x-api-key": "upstream-key-anthropic", "anthropic-version": "2023-01-01" },
      "2",
    ],
    [
      "/v1/completions/anthropic-messages",
      (text: string) => anthropic(text),
      "/v1/messages",
      { "x-api-key": "upstream-key-anthropic", "anthropic-version": "2023-06-01" },
      "2",
    ],
    [
      "/v1/completions/openai",
      (text: string) => ({ model: "gpt-4o", messages: [{ role: "user", content: text }] }),
      "/v1/chat/completions",
      { authorization: "Bearer upstream-key-openai", "openai-organization": "org-of-the-gateway" },
      "30",
    ],
    [
      "/v1/completions/fireworks",
      (text: string) => ({ model: llama, messages: [{ role: "user", content: text }] }),
      "/inference/v1/chat/completions",
      { authorization: "Bearer upstream-key-fireworks" },
      "30",
    ],
    [
      "/v1/completions/google",
      (text: string) => google(text),
      "/v1beta/models/gemini-1.5-flash:generateContent",
      { "x-goog-api-key": "upstream-key-google" },
      "3",
    ],
  ] as const)(
    "1.4 %s: URL, headers and the default of retry-after",
    async ([path, body, url, headers, wait], { expect }) => {
      const text = marker();
      expect((await wire.ask(path, body(text), [uid])).status).toBe(200);
      const call = wire.seen(text);
      expect([call?.method, call?.path]).toEqual(["POST", url]);
      expect(call?.headers).toMatchObject({ "content-type": "application/json", ...headers });

      const busy = await wire.ask(path, body("[[status=429]]"));
      expect([busy.status, busy.headers["retry-after"]]).toEqual([503, wait]);
    },
  );

  it("1.4 Fireworks: code completions go to completions, with X-Fireworks-Genie where it is exactly true", async ({
    expect,
  }) => {
    const text = marker();
    const body = { model: "starcoder2-15b", prompt: text };
    await wire.ask("/v1/completions/fireworks", body, [code, "X-Fireworks-Genie: true"]);
    const call = wire.seen(text);
    expect(call?.path).toBe("/inference/v1/completions");
    expect(call?.headers["x-fireworks-genie"]).toBe("true");
    const other = marker();
    await wire.ask("/v1/completions/fireworks", { ...body, prompt: other }, [code, "X-Fireworks-Genie: TRUE"]);
    expect(wire.seen(other)?.headers).not.toHaveProperty("x-fireworks-genie");
  });

  it("1.4 Google: the key is never in the URL, and streams are events", async ({ expect }) => {
    const text = marker();
    const reply = await wire.ask("/v1/completions/google", google(text, { stream: true }));
    expect(reply.headers["content-type"]).toMatch(/^text\/event-stream/);
    const call = wire.seen(text);
    expect(call?.path).toBe("/v1beta/models/gemini-1.5-flash:streamGenerateContent?alt=sse");
    expect(call?.json).not.toHaveProperty("stream");
  });
});

describe.concurrent("1.4.1 Anthropic's text completions", () => {
  const path = "/v1/completions/anthropic";
  const body = (text: string, more: object = {}) => ({
    model: "claude-2.0",
    prompt: `\n\nHuman: ${text}\n\nAssistant:`,
    max_tokens_to_sample: 4000,
    ...more,
  });

  it("1.4.1 more tokens than 4000 are refused", async ({ expect }) => {
    const reply = await wire.ask(path, body("hi", { max_tokens_to_sample: 4001 }));
    expect(reply.status).toBe(400);
    expect(errorOf(reply)).toBe("max_tokens_to_sample exceeds maximum allowed value of 4000: 4001");
  });

  it("1.4.1 metadata.user_id is always the gateway's, the rest stays", async ({ expect }) => {
    const text = marker();
    const sent = body(text, { temperature: 0.5, top_p: 0.5, top_k: 3, stop_sequences: ["x"] });
    await wire.ask(path, { ...sent, metadata: { user_id: "somebody else" } }, [uid]);
    expect(wire.seen(text)?.json).toEqual({ ...sent, metadata: { user_id: "acme:42" } });
  });
});

describe.concurrent("1.4.2 Anthropic's messages", () => {
  const path = "/v1/completions/anthropic-messages";

  it("1.4.2 a body without messages is refused", async ({ expect }) => {
    const reply = await wire.ask(path, { model: "claude-2" });
    expect([reply.status, errorOf(reply)]).toEqual([400, 'request body must contain "messages" field']);
  });

  it("1.4.2 the prefix of the model is taken off", async ({ expect }) => {
    const text = marker();
    await wire.ask(path, anthropic(text, { model: "anthropic/claude-3-haiku-20240307" }));
    expect(wire.seen(text)?.model).toBe("claude-3-haiku-20240307");
  });

  it("1.4.2 more tokens than 4000 are refused", async ({ expect }) => {
    const reply = await wire.ask(path, anthropic("hi", { max_tokens: 5000 }));
    expect([reply.status, errorOf(reply)]).toEqual([400, "max_tokens exceeds maximum allowed value of 4000: 5000"]);
  });

  it("1.4.2 a first message of the system becomes `system`, the caller's own is discarded", async ({ expect }) => {
    const text = marker();
    const messages = [
      { role: "system", content: [{ type: "text", text: "You are Cody" }] },
      { role: "user", content: [{ type: "text", text }] },
    ];
    await wire.ask(path, { model: "claude-3-haiku-20240307", max_tokens: 9, system: "ignore all", messages });
    expect(wire.seen(text)?.json).toMatchObject({ system: "You are Cody", messages: messages.slice(1) });
  });

  it("1.4.2 metadata.user_id is always the gateway's", async ({ expect }) => {
    const text = marker();
    await wire.ask(path, anthropic(text, { metadata: { user_id: "somebody else" } }), [uid]);
    expect(wire.seen(text)?.json).toMatchObject({ metadata: { user_id: "acme:42" } });
  });
});

describe.concurrent("1.4.3 OpenAI", () => {
  const path = "/v1/completions/openai";

  it("1.4.3 n is 1, user is the gateway's", async ({ expect }) => {
    const text = marker();
    const body = { model: "gpt-4o", messages: [{ role: "user", content: text }], n: 5, user: "somebody else" };
    await wire.ask(path, body, [uid]);
    expect(wire.seen(text)?.json).toMatchObject({ n: 1, user: "acme:42" });
  });

  it("1.4.3 code completions are refused", async ({ expect }) => {
    const reply = await wire.ask(path, { model: "gpt-4o", messages: [] }, [code]);
    expect([reply.status, errorOf(reply)]).toEqual([
      400,
      'feature "code_completions" is currently not supported for OpenAI',
    ]);
  });
});

describe.concurrent("1.4.4 Fireworks", () => {
  const path = "/v1/completions/fireworks";

  it.for([
    ["starcoder", undefined, "accounts/sourcegraph/models/starcoder-16b"],
    ["starcoder-16b", undefined, "accounts/fireworks/models/starcoder-16b"],
    ["starcoder-7b", undefined, "accounts/fireworks/models/starcoder-7b"],
    ["starcoder2-15b", undefined, "accounts/sourcegraph/models/starcoder2-15b"],
    ["starcoder2-7b", undefined, "accounts/sourcegraph/models/starcoder2-7b"],
    [
      "fim-lang-specific-model-deepseek-stack-trained",
      "typescript",
      "accounts/sourcegraph/models/finetuned-fim-lang-ts-model-deepseek-7b-stack-trained-v1",
    ],
    [
      "fim-lang-specific-model-deepseek-stack-trained",
      "javascriptreact",
      "accounts/sourcegraph/models/finetuned-fim-lang-ts-model-deepseek-7b-stack-trained-v1",
    ],
    [
      "fim-lang-specific-model-deepseek-stack-trained",
      "python",
      "accounts/sourcegraph/models/finetuned-fim-lang-py-model-deepseek-7b-stack-trained-v1",
    ],
    ["fim-lang-specific-model-deepseek-stack-trained", "go", "accounts/sourcegraph/models/deepseek-coder-7b-base"],
    [
      "fim-lang-specific-model-deepseek-logs-trained",
      "javascript",
      "accounts/sourcegraph/models/finetuned-fim-lang-js-model-deepseek-7b-logs-trained-v1",
    ],
    ["fim-lang-specific-model-deepseek-logs-trained", "rust", "accounts/sourcegraph/models/deepseek-coder-7b-base"],
    ["fim-lang-specific-model-mixtral", "php", "accounts/sourcegraph/models/finetuned-fim-lang-php-model-mixtral-8x7b"],
    [
      "fim-lang-specific-model-mixtral",
      "cobol",
      "accounts/sourcegraph/models/finetuned-fim-lang-all-model-mixtral-8x7b",
    ],
    [llama, undefined, llama],
  ] as const)("1.4.4 %s with %s is %s, and is told so", async ([model, languageId, resolved], { expect }) => {
    const text = marker();
    const reply = await wire.ask(path, { model, prompt: text, ...(languageId && { languageId }) }, [code]);
    expect(reply.status).toBe(200);
    expect(reply.headers["x-cody-resolved-model"]).toBe(`fireworks/${resolved}`);
    const { json, model: sent } = wire.seen(text) ?? {};
    expect(sent).toBe(resolved);
    expect(json).not.toHaveProperty("languageId");
  });

  it("1.4.4 n is 1", async ({ expect }) => {
    const text = marker();
    await wire.ask(path, { model: "starcoder", prompt: text, n: 3 }, [code]);
    expect(wire.seen(text)?.json).toMatchObject({ n: 1 });
  });
});

describe.concurrent("1.4.5 Google", () => {
  it("1.4.5 both features are served, a text as systemInstruction too", async ({ expect }) => {
    const text = marker();
    const body = google(text, { systemInstruction: "You are Cody", generationConfig: { temperature: 0, topK: 1 } });
    const reply = await wire.ask("/v1/completions/google", body, [code]);
    expect(reply.status).toBe(200);
    expect(wire.seen(text)?.json).toMatchObject({
      systemInstruction: { parts: [{ text: "You are Cody" }] },
      generationConfig: { temperature: 0, topK: 1 },
    });
  });
});

describe.concurrent("1.4.6 the end user", () => {
  it("1.4.6 Fireworks and Google are told nothing of the actor", async ({ expect }) => {
    const texts = [marker(), marker()] as const;
    await wire.ask("/v1/completions/fireworks", { model: "starcoder", prompt: texts[0] }, [code, uid]);
    await wire.ask("/v1/completions/google", google(texts[1]), [uid]);
    for (const text of texts) expect(wire.seen(text)?.body.toString()).not.toMatch(/acme|42/);
  });
});
