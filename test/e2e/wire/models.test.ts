// wire.md 5: which models may be used, by the defaults of the existing gateway.

import { afterAll, beforeAll, describe, it } from "vitest";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { bearer, type Wire, wireTo } from "../../helpers/wire.js";

const all = { chat_completions: [], code_completions: [] };
const actor = (id: string, models: readonly string[]) => ({
  id,
  tokens: [{ ref: `env:TOKEN_OF_${id.toUpperCase()}` }],
  limits: all,
  models: { chat_completions: models, code_completions: models },
});

let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  gw = await testGateway({
    actors: [
      actor("starcoder", ["fireworks/starcoder"]),
      actor("one", ["anthropic/claude-2.0"]),
      actor("starred", ["*", "anthropic/claude-2.0"]),
    ],
    env: {
      TOKEN_OF_STARCODER: "token-of-the-starcoder-actor",
      TOKEN_OF_ONE: "token-of-the-actor-of-one",
      TOKEN_OF_STARRED: "token-of-the-starred-actor",
      // The defaults.
      CODY_GATEWAY_ANTHROPIC_ALLOWED_MODELS: "",
      CODY_GATEWAY_OPENAI_ALLOWED_MODELS: "",
      CODY_GATEWAY_GOOGLE_ALLOWED_MODELS: "",
    },
  });
  wire = wireTo(gw);
});
afterAll(() => gw[Symbol.asyncDispose]());

const ask = (path: string, body: object, token?: string) =>
  wire.send(
    `POST ${path}`,
    [bearer(token), `X-Sourcegraph-Feature: ${"prompt" in body ? "code" : "chat"}_completions`],
    body,
  );
const messages = [{ role: "user", content: "hi" }];
const own = "accounts/sourcegraph/models";
const theirs = "accounts/fireworks/models";

describe.concurrent("5 model allowlists", () => {
  it.for([
    "claude-2",
    "claude-2.0",
    "claude-2.1",
    "claude-v1",
    "claude-instant-1",
    "claude-instant-1.2",
    "claude-instant-1.2-cyan",
    "claude-3-haiku-20240307",
    "claude-3-sonnet-20240229",
    "claude-3-5-sonnet-20240620",
    "claude-3-opus-20240229",
  ])("5 Anthropic: %s", async (model, { expect }) => {
    const reply = await ask("/v1/completions/anthropic-messages", { model, max_tokens: 5, messages });
    // The demo upstream does not know the oldest ones any more.
    expect(reply.status).not.toBe(400);
    expect(reply.headers["x-cody-resolved-model"]).toBe(`anthropic/${model}`);
  });

  it.for(["gpt-4", "gpt-3.5-turbo", "gpt-4o", "gpt-4-turbo", "gpt-4-turbo-preview"])(
    "5 OpenAI: %s",
    async (model, { expect }) => {
      expect((await ask("/v1/completions/openai", { model, messages })).status).toBe(200);
    },
  );

  it.for([
    "gemini-1.5-flash-latest",
    "gemini-1.5-pro-latest",
    "gemini-1.0-pro-latest",
    "gemini-1.5-flash-001",
    "gemini-1.5-pro-001",
    "gemini-1.5-flash",
    "gemini-1.5-pro",
    "gemini-1.0-pro",
  ])("5 Google: %s", async (model, { expect }) => {
    const contents = [{ role: "user", parts: [{ text: "hi" }] }];
    expect((await ask("/v1/completions/google", { model, contents })).status).toBe(200);
  });

  it.for([
    "starcoder",
    `${own}/starcoder2-15b`,
    `${own}/starcoder2-7b`,
    `${own}/starcoder-16b`,
    `${theirs}/starcoder-16b`,
    `${theirs}/starcoder-7b`,
    `${theirs}/starcoder-16b-w8a16`,
    `${theirs}/starcoder-1b-w8a16`,
    `${theirs}/llama-v2-7b-code`,
    `${theirs}/llama-v2-34b-code-instruct`,
    `${theirs}/mistral-7b-instruct-4k`,
    `${theirs}/mixtral-8x7b-instruct`,
    `${theirs}/mixtral-8x22b-instruct`,
    `${own}/custom-deepseek-1p3b-base-hf-version`,
    `${own}/deepseek-coder-7b-base`,
    `${own}/deepseek-coder-v2-lite-base`,
    `${own}/code-qwen-1p5-7b`,
    "fim-lang-specific-model-mixtral",
  ])("5 Fireworks: %s", async (model, { expect }) => {
    expect((await ask("/v1/completions/fireworks", { model, prompt: "hi" })).status).toBe(200);
  });

  it("5 capitals do not matter", async ({ expect }) => {
    const reply = await ask("/v1/completions/anthropic-messages", {
      model: "Claude-3-Haiku-20240307",
      max_tokens: 5,
      messages,
    });
    expect(reply.status).toBe(200);
  });

  it("5 the actor's list narrows the gateway's", async ({ expect }) => {
    const token = "token-of-the-actor-of-one";
    const at = "/v1/completions/anthropic-messages";
    expect((await ask(at, { model: "claude-2.0", max_tokens: 5, messages }, token)).status).toBe(200);
    const refused = await ask(at, { model: "claude-2.1", max_tokens: 5, messages }, token);
    expect([refused.status, JSON.parse(refused.body)]).toEqual([
      400,
      { error: 'model "anthropic/claude-2.1" is not allowed, allowed: [anthropic/claude-2.0]' },
    ]);
  });

  it.for(["starcoder", "starcoder-16b", "starcoder-7b", `${theirs}/starcoder-7b-w8a16`, `${own}/starcoder-16b`])(
    "5 fireworks/starcoder admits %s",
    async (model, { expect }) => {
      const reply = await ask("/v1/completions/fireworks", { model, prompt: "x" }, "token-of-the-starcoder-actor");
      expect(reply.status).toBe(200);
    },
  );

  it("5 fireworks/starcoder admits nothing else", async ({ expect }) => {
    for (const model of [`${own}/starcoder2-7b`, `${theirs}/llama-v2-7b-code`]) {
      const reply = await ask("/v1/completions/fireworks", { model, prompt: "x" }, "token-of-the-starcoder-actor");
      expect(reply.status).toBe(400);
    }
  });
});
