// Checks of prompts as callers meet them: on every way in, in every place of a body where words can stand.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CompleteRequestSchema } from "../../gen/codygateway/v1/completions_pb.js";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { surfaces } from "../helpers/surfaces.js";

type CompleteRequestInit = MessageInitShape<typeof CompleteRequestSchema>;

const forbidden = "the forbidden words";

let gw: TestGateway;
beforeAll(async () => {
  const blocked = ["Forbidden Words", { regexp: "b[o0]mb\\s+recipe" }];
  gw = await testGateway({
    actor: { limits: { chat_completions: [{ limit: 1_000, per: "1h" }], code_completions: [] } },
    actors: [
      {
        id: "small",
        tokens: [{ ref: "env:SMALL_TOKEN" }],
        limits: { chat_completions: [{ limit: 1, per: "1h" }] },
        models: { chat_completions: ["openai/gpt-4o"] },
      },
    ],
    env: { SMALL_TOKEN: "token-of-the-small-actor", CODY_GATEWAY_ANTHROPIC_ALLOWED_MODELS: "claude-*" },
    file: {
      models: [{ id: "virtual/quick", routes: [{ model: "openai/gpt-4o-mini" }] }],
      flagging: {
        "*": { blocked, blocking: true },
        anthropic: { blocked, promptTokens: { flag: 50, block: 100 }, outputTokens: { flag: 1_000 }, blocking: true },
        google: { blocked },
        openai: {
          blocked,
          allowed: ["hello", "please"],
          models: { flag: ["gpt-4o-mini"], block: ["gpt-4-32k*"] },
          blocking: true,
        },
      },
    },
  });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

function post(
  path: string,
  body: string | object,
  bearer = token,
  more: Record<string, string> = {},
): Promise<Response> {
  return fetch(gw.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "x-sourcegraph-feature": "chat_completions", ...more },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function used(): Promise<bigint | undefined> {
  return (await gw.client().limits.getLimits({})).features[0]?.rateLimit?.used;
}

const policy =
  /^We blocked your request because we detected your prompt to be against our Acceptable Use Policy \(https:\/\/sourcegraph\.com\/terms\/aup\)\. Try again by removing any phrases that may violate our AUP\. If you think this is a mistake, please contact support@sourcegraph\.com and reference this ID: (\S+)$/;

/** The text of an error, in whichever shape it comes. */
function textOf(body: unknown): string {
  const { error } = body as { error: string | { message: string } };
  return typeof error === "string" ? error : error.message;
}

describe.each(surfaces)("$name", ({ provider, path, body }) => {
  const isBlocked = provider !== "google";

  it.each([true, false])(`${isBlocked ? "blocks" : "flags"} a phrase, stream %s`, async (stream) => {
    const before = await used();
    const answer = await post(path(stream), body(`hello, ${forbidden.toUpperCase()}!`, stream));

    const flagged = { reasons: ["blocked_phrase"], blocked: isBlocked, blockedPhrase: "Forbi" };
    if (!isBlocked) {
      expect(answer.status).toBe(200);
      await answer.text();
      expect(await gw.event()).toMatchObject({ outcome: "completed", charged: true, flagged });
      return;
    }
    expect(answer.status).toBe(400);
    const [, id] = policy.exec(textOf(await answer.json())) ?? [];
    const event = await gw.event();
    expect(event).toMatchObject({ outcome: "refused", reason: "PROMPT_BLOCKED", charged: false, provider, flagged });
    expect(event.trace_id).toBe(id);
    expect(JSON.stringify(event)).not.toContain(forbidden);
    expect(gw.upstream.calls).toEqual([]);
    expect(await used()).toBe(before);
  });

  it("lets other prompts pass, and says nothing of them", async () => {
    const answer = await post(path(false), body("hello, a bomb of a recipe, please", false));

    expect(answer.status).toBe(200);
    await answer.text();
    const event = await gw.event();
    expect(event.outcome).toBe("completed");
    expect(event.flagged).toBeUndefined();
  });
});

const openaiChat = (messages: readonly object[], more: object = {}) => ({
  model: "gpt-4o",
  messages: [{ role: "user", content: "hello" }, ...messages],
  ...more,
});
const anthropicChat = (content: unknown, more: object = {}) => ({
  model: "claude-sonnet-4-5",
  max_tokens: 9,
  messages: [{ role: "user", content }],
  ...more,
});
const responses = (input: unknown, more: object = {}) => ({ model: "gpt-5", input, ...more });

describe("finds words", () => {
  const chat = "/openai/v1/chat/completions";
  const messages = "/anthropic/v1/messages";
  it.each<[string, string, object]>([
    ["of a system message", chat, openaiChat([{ role: "system", content: forbidden }])],
    ["of a role that nobody knows", chat, openaiChat([{ role: "robot", content: forbidden }])],
    ["of a part", chat, openaiChat([{ role: "user", content: [{ type: "text", text: forbidden }] }])],
    ["of a tool's result", chat, openaiChat([{ role: "tool", tool_call_id: "x", content: forbidden }])],
    [
      "that a tool was called with",
      chat,
      openaiChat([
        {
          role: "assistant",
          tool_calls: [{ id: "x", type: "function", function: { name: "f", arguments: `{"a":"${forbidden}"}` } }],
        },
      ]),
    ],
    [
      "of a tool's description",
      chat,
      openaiChat([], { tools: [{ type: "function", function: { name: "f", description: forbidden } }] }),
    ],
    ["that are predicted", chat, openaiChat([], { prediction: { type: "content", content: forbidden } })],
    [
      "of a field that nobody knows",
      chat,
      openaiChat([{ role: "user", content: [{ type: "new", words: forbidden }] }]),
    ],
    [
      "of a prompt among several",
      "/openai/v1/completions",
      { model: "gpt-3.5-turbo-instruct", prompt: ["hello", forbidden] },
    ],
    ["that cannot be read", "/openai/v1/completions", { model: "gpt-3.5-turbo-instruct", prompt: [15_339, 1_917] }],
    [
      "of several prompts that cannot be read",
      "/openai/v1/completions",
      { model: "gpt-3.5-turbo-instruct", prompt: [[15_339], [1_917]] },
    ],
    [
      "after the gap",
      "/openai/v1/completions",
      { model: "gpt-3.5-turbo-instruct", prompt: "hello", suffix: forbidden },
    ],
    ["of instructions", "/openai/v1/responses", responses("hello", { instructions: forbidden })],
    [
      "of an input item",
      "/openai/v1/responses",
      responses([{ role: "user", content: [{ type: "input_text", text: forbidden }] }]),
    ],
    [
      "of a call's output",
      "/openai/v1/responses",
      responses([{ type: "function_call_output", call_id: "x", output: forbidden }]),
    ],
    ["of a system text", messages, anthropicChat("hi", { system: forbidden })],
    ["of system parts", messages, anthropicChat("hi", { system: [{ type: "text", text: forbidden }] })],
    [
      "of a tool result's part",
      messages,
      anthropicChat([{ type: "tool_result", tool_use_id: "x", content: [{ type: "text", text: forbidden }] }]),
    ],
    [
      "of a tool's input",
      messages,
      anthropicChat([{ type: "tool_use", id: "x", name: "f", input: { a: { b: [forbidden] } } }]),
    ],
    [
      "of a document that is a text",
      messages,
      anthropicChat([{ type: "document", source: { type: "text", media_type: "text/plain", data: forbidden } }]),
    ],
    ["of an expression", messages, anthropicChat("my B0MB\n\n recipe")],
  ])("%s", async (_, path, body) => {
    const answer = await post(path, body);

    expect(answer.status).toBe(400);
    expect(textOf(await answer.json())).toMatch(policy);
    expect(gw.upstream.calls).toEqual([]);
  });

  it.each<[string, object]>([
    [
      "of a system instruction",
      { contents: [{ parts: [{ text: "hi" }] }], systemInstruction: { parts: [{ text: forbidden }] } },
    ],
    ["of a part", { contents: { parts: [{ text: "hi" }, { text: forbidden }] } }],
    [
      "of a function's response",
      { contents: [{ parts: [{ functionResponse: { name: "f", response: { a: forbidden } } }] }] },
    ],
    ["of code that was run", { contents: [{ parts: [{ executableCode: { language: "PYTHON", code: forbidden } }] }] }],
  ])("%s at Google", async (_, body) => {
    const answer = await post("/google/v1beta/models/gemini-2.5-flash:generateContent", body);
    await answer.text();

    expect(await gw.event()).toMatchObject({ flagged: { reasons: ["blocked_phrase"], blocked: false } });
  });

  it("and takes no picture for words", async () => {
    const data = Buffer.from(forbidden).toString("base64");
    const picture = {
      type: "image",
      source: { type: "base64", media_type: "image/png", data: `${data}forbidden words` },
    };
    const answer = await post("/anthropic/v1/messages", anthropicChat([picture]));

    expect(answer.status).toBe(200);
    await answer.text();
  });
});

describe("a typed request", () => {
  const completion = {
    model: "anthropic/claude-sonnet-4-5",
    input: {
      case: "chat",
      value: { messages: [{ role: 1, parts: [{ kind: { case: "text", value: forbidden } }] }] },
    },
    maxOutputTokens: 9,
  } satisfies CompleteRequestInit;

  it("is blocked as a native one, whole and as a stream", async () => {
    const { completions } = gw.client();
    const whole = completions.complete(completion);
    const streamed = (async () => {
      for await (const event of completions.streamComplete({ completion })) expect(event).toBeUndefined();
    })();
    for (const call of [whole, streamed]) {
      const error = ConnectError.from(
        await call.then(
          () => undefined,
          (each: unknown) => each,
        ),
      );
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.rawMessage).toMatch(policy);
      expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("PROMPT_BLOCKED");
    }
    expect(gw.upstream.calls).toEqual([]);
  });

  it("is not looked at where it is only counted", async () => {
    const { inputTokens } = await gw.client().completions.countTokens({ completion });

    expect(inputTokens).toBeGreaterThan(0);
  });
});

describe("the order of decisions", () => {
  it("tells of a model that is not allowed before it looks at the prompt", async () => {
    const answer = await post(
      "/openai/v1/chat/completions",
      openaiChat([{ role: "user", content: forbidden }], { model: "gpt-5" }),
      "token-of-the-small-actor",
    );

    expect(textOf(await answer.json())).toContain("is not allowed");
    expect(await gw.event()).toMatchObject({ reason: "MODEL_NOT_ALLOWED" });
  });

  it("tells of a limit that is used up before it looks at the prompt, and charges nothing for what it blocks", async () => {
    const ask = async (content: string): Promise<number> => {
      const answer = await post(
        "/openai/v1/chat/completions",
        openaiChat([{ role: "user", content }]),
        "token-of-the-small-actor",
      );
      await answer.text();
      return answer.status;
    };
    const statuses = [await ask(forbidden), await ask(forbidden), await ask("hello"), await ask(forbidden)];

    expect(statuses).toEqual([400, 400, 200, 429]);
  });
});

describe("reasons", () => {
  it("are told of each: a model that is asked for by another name, no known phrase", async () => {
    const answer = await post("/openai/v1/chat/completions", {
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: "x" }],
    });
    await answer.text();

    expect(answer.status).toBe(200);
    expect((await gw.event()).flagged).toEqual({ reasons: ["model_used", "unknown_prompt"], blocked: false });
    gw.reset();

    await gw.client().completions.complete({
      model: "virtual/quick",
      input: {
        case: "chat",
        value: { messages: [{ role: 1, parts: [{ kind: { case: "text", value: "hello" } }] }] },
      },
    });
    expect((await gw.event()).flagged).toEqual({ reasons: ["model_used"], blocked: false });
  });

  it("are no blocked phrase where there are too many tokens, which are counted", async () => {
    const some = await post("/anthropic/v1/messages", anthropicChat("one two three four ".repeat(15)));
    await some.text();
    expect(some.status).toBe(200);
    expect((await gw.event()).flagged).toMatchObject({ reasons: ["high_prompt_token_count"], blocked: false });
    gw.reset();

    const many = await post(
      "/anthropic/v1/messages",
      anthropicChat("one two three four ".repeat(60), { max_tokens: 1_001 }),
    );
    expect(many.status).toBe(400);
    await many.text();
    const { flagged } = await gw.event();
    expect(flagged?.reasons).toEqual([
      "high_max_tokens_to_sample",
      "high_prompt_token_count",
      "blocked_prompt_token_count",
    ]);
    expect(flagged).toMatchObject({ blocked: true, maxOutputTokens: 1_001 });
    expect(flagged?.promptTokens).toBeGreaterThan(100);
    expect(flagged?.blockedPhrase).toBeUndefined();
  });

  it("count bytes as tokens only where that rules out too many", async () => {
    const short = "a".repeat(90);
    const answer = await post("/anthropic/v1/messages", anthropicChat(short));
    await answer.text();

    // More bytes than 50, not more tokens.
    expect((await gw.event()).flagged).toBeUndefined();
  });
});
