// Typed completions, counts and listings for every provider: one request, whoever answers it.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Feature } from "../../gen/codygateway/v1/common_pb.js";
import {
  type CompleteRequest,
  CompleteRequestSchema,
  type Message,
  type PartSchema,
  Reasoning_Effort,
  Role,
  StopReason,
  type StreamCompleteResponse,
} from "../../gen/codygateway/v1/completions_pb.js";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

type Init = Exclude<MessageInitShape<typeof CompleteRequestSchema>, CompleteRequest>;
type Kind = NonNullable<MessageInitShape<typeof PartSchema>["kind"]>;
const text = (value: string): Kind => ({ case: "text", value });
const turn = (role: Role, ...kinds: Kind[]) => ({ role, parts: kinds.map((kind) => ({ kind })) });
const chat = (...messages: (ReturnType<typeof turn> | Message)[]): NonNullable<Init["input"]> => ({
  case: "chat",
  value: { messages },
});
const ask = (model: string, content: string, more: Partial<Init> = {}): CompleteRequest =>
  create(CompleteRequestSchema, { input: chat(turn(Role.USER, text(content))), ...more, model });
const png: Kind = {
  case: "image",
  value: {
    source: { case: "data", value: new Uint8Array(Buffer.from("iVBORw0KGgo=", "base64")) },
    mediaType: "image/png",
  },
};

async function collect(stream: AsyncIterable<StreamCompleteResponse>): Promise<StreamCompleteResponse["event"][]> {
  const events = [];
  for await (const { event } of stream) events.push(event);
  return events;
}

const textOf = (events: StreamCompleteResponse["event"][]): string =>
  events.map((event) => (event.case === "textDelta" ? event.value.text : "")).join("");

async function refusal(call: Promise<unknown>) {
  const error = ConnectError.from(await call.catch((cause: unknown) => cause));
  const { reason, metadata } = error.findDetails(ErrorInfoSchema)[0] ?? {};
  return { code: error.code, reason, message: error.rawMessage, metadata };
}

const llama = "fireworks/accounts/fireworks/models/llama-v3p1-70b-instruct";
const tools = [
  {
    name: "weather",
    description: "Tells the weather",
    inputSchema: { type: "object", properties: { city: { type: "string" } } },
  },
];

describe.each([
  ["anthropic/claude-sonnet-4-5", "/v1/messages"],
  ["openai/gpt-4o", "/v1/chat/completions"],
  ["openai/gpt-5-codex", "/v1/responses"],
  ["google/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"],
  [llama, "/inference/v1/chat/completions"],
])("%s", (model, path) => {
  const provider = model.slice(0, model.indexOf("/"));

  it("completes whole", async () => {
    const answer = await gw.client().completions.complete(ask(model, "[[say Good morning]] [[usage in=11 out=22]]"));
    expect(answer).toMatchObject({ model, stopReason: StopReason.END_TURN });
    expect(answer.id).not.toBe("");
    expect(answer.message?.parts.map(({ kind }) => kind)).toEqual([text("Good morning")]);
    expect(answer.usage).toMatchObject({ inputTokens: 11, outputTokens: 22 });
    expect(gw.upstream.calls[0]?.path).toBe(path);
    expect(await gw.event()).toMatchObject({ edge: "rpc", provider, model, charged: true });
  });

  it("streams, and the end has the usage", async () => {
    const request = { completion: ask(model, "[[say Good morning, Zürich ✓]] [[usage in=11 out=22]]") };
    const events = await collect(gw.client().completions.streamComplete(request));
    expect(textOf(events)).toBe("Good morning, Zürich ✓");
    expect(events[0]).toMatchObject({ case: "started", value: { model } });
    expect(events.at(-1)).toMatchObject({
      case: "finished",
      value: { stopReason: StopReason.END_TURN, usage: { inputTokens: 11, outputTokens: 22 } },
    });
  });

  it("goes round with tools, pictures among their results where the provider sees them", async () => {
    const client = gw.client().completions;
    const question = turn(Role.USER, text("What is the weather in Bern?"));
    const first = await client.complete(ask(model, "What is the weather in Bern? [[tool]]", { tools }));
    expect(first.stopReason).toBe(StopReason.TOOL_USE);
    const use = first.message?.parts.find(({ kind }) => kind.case === "toolUse")?.kind;
    if (use?.case !== "toolUse" || !first.message) throw new Error("no tool use");
    expect(use.value).toMatchObject({ name: "weather", input: { city: "demo" } });

    const streamed = await collect(
      client.streamComplete({ completion: ask(model, "What is the weather in Bern? [[tool]]", { tools }) }),
    );
    const json = streamed.map((event) => (event.case === "toolInputDelta" ? event.value.jsonFragment : "")).join("");
    expect(JSON.parse(json)).toEqual({ city: "demo" });

    const answered = (...parts: Kind[]): Kind => ({
      case: "toolResult",
      value: { toolUseId: use.value.id, parts: parts.map((kind) => ({ kind })) },
    });
    const conversation = (...parts: Kind[]) =>
      create(CompleteRequestSchema, {
        model,
        tools,
        input: chat(question, first.message as Message, turn(Role.TOOL, answered(...parts))),
      });
    expect((await client.complete(conversation(text("sunny")))).stopReason).toBe(StopReason.END_TURN);
    const seen = client.complete(conversation(text("see"), png));
    if (provider !== "fireworks") expect((await seen).stopReason).toBe(StopReason.END_TURN);
    else expect(await refusal(seen)).toMatchObject({ code: Code.InvalidArgument, reason: "CAPABILITY_MISSING" });
  });

  it("keeps to a schema", async () => {
    const schema = { type: "object", properties: { city: { type: "string" } } };
    const format = { case: "jsonSchema" as const, value: { name: "place", schema } };
    const answer = await gw.client().completions.complete(ask(model, "Where?", { responseFormat: { format } }));
    const [part] = answer.message?.parts ?? [];
    expect(part?.kind.case === "text" && JSON.parse(part.kind.value)).toEqual({ city: "demo" });
  });

  it("counts tokens, for nothing", async () => {
    const completion = ask(model, "How many tokens is this?", { tools });
    const count = await gw.client().completions.countTokens({ completion });
    const own = provider === "anthropic" || provider === "google";
    expect(count).toMatchObject({ model, estimated: !own });
    expect(count.inputTokens).toBeGreaterThan(5);
    expect(count.inputTokens).toBeLessThan(100);
    expect(gw.upstream.calls).toHaveLength(own ? 1 : 0);
    const event = await gw.event();
    expect(event).toMatchObject({ outcome: "completed", edge: "rpc", charged: false, usage: {}, model });
    expect(event.upstreamStatus).toBe(own ? 200 : undefined);
  });

  it("gets an error, never a clean end, when the upstream breaks off", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]", "[[error after=2]]", "[[garbage]]"]) {
      const stream = gw.client().completions.streamComplete({ completion: ask(model, `hello ${directive}`) });
      expect(await refusal(collect(stream)), directive).toMatchObject({ code: Code.Unavailable });
    }
  });
});

describe("what one provider has and another has not", () => {
  it("is refused with the field's name", async () => {
    const complete = (model: string, more: Partial<Init>) =>
      refusal(gw.client().completions.complete(ask(model, "hello", more)));
    const cases: [string, Partial<Init>, string][] = [
      ["google/gemini-2.5-flash", { prediction: "x" }, "prediction"],
      ["anthropic/claude-sonnet-4-5", { seed: 1n }, "seed"],
      ["openai/gpt-4o", { topK: 1 }, "top_k"],
      [llama, { stopSequences: ["1", "2", "3", "4", "5"] }, "stop_sequences"],
    ];
    for (const [model, more, field] of cases) {
      const refused = await complete(model, more);
      expect(refused, model).toMatchObject({ code: Code.InvalidArgument, reason: "CAPABILITY_MISSING" });
      expect(refused.message, model).toContain(field);
    }
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it("has thoughts with signatures, which go back as they came", async () => {
    const reasoning = { amount: { case: "effort" as const, value: Reasoning_Effort.HIGH } };
    for (const model of ["anthropic/claude-sonnet-4-5", "google/gemini-2.5-flash"]) {
      const client = gw.client().completions;
      const first = await client.complete(ask(model, "hello", { reasoning }));
      const thought = first.message?.parts[0]?.kind;
      expect(thought?.case, model).toBe("thinking");
      const events = await collect(client.streamComplete({ completion: ask(model, "hello", { reasoning }) }));
      expect(
        events.some((event) => event.case === "thinkingDelta"),
        model,
      ).toBe(true);
      const input = chat(turn(Role.USER, text("hello")), first.message as Message, turn(Role.USER, text("And?")));
      await client.complete({ model, reasoning, input });
      const { value } = thought as { value: { text: string } };
      expect(gw.upstream.calls.at(-1)?.body.toString(), model).toContain(JSON.stringify(value.text));
    }
  });

  it("completes prompts, with a suffix or by the language", async () => {
    const prompt = (model: string, value: object): CompleteRequest =>
      create(CompleteRequestSchema, {
        model,
        feature: Feature.CODE_COMPLETIONS,
        input: { case: "prompt", value: { text: "function add(", ...value } },
      });
    const client = gw.client().completions;
    const whole = await client.complete(prompt("openai/gpt-3.5-turbo-instruct", { suffix: "}" }));
    expect(whole.message?.parts[0]?.kind.value).toContain("demo upstream");
    expect(gw.upstream.calls[0]).toMatchObject({ path: "/v1/completions", json: { suffix: "}" } });

    const model = "fireworks/fim-lang-specific-model-mixtral";
    const events = await collect(client.streamComplete({ completion: prompt(model, { languageId: "python" }) }));
    expect(textOf(events)).toContain("demo upstream");
    const resolved = "accounts/sourcegraph/models/finetuned-fim-lang-python-model-mixtral-8x7b";
    expect(events[0]).toMatchObject({ case: "started", value: { model: `fireworks/${resolved}` } });
    expect(await gw.event(({ provider }) => provider === "fireworks")).toMatchObject({ feature: "code_completions" });

    const count = await client.countTokens({ completion: prompt("openai/gpt-3.5-turbo-instruct", {}) });
    expect(count).toMatchObject({ inputTokens: 3, estimated: true });
    const refused = await refusal(client.complete(prompt("anthropic/claude-sonnet-4-5", {})));
    expect(refused).toMatchObject({ code: Code.InvalidArgument, reason: "CAPABILITY_MISSING" });
  });

  it("counts pictures, and says that documents cannot be counted", async () => {
    const client = gw.client().completions;
    const plain = await client.countTokens({ completion: ask("openai/gpt-4o", "Look") });
    const look = (kind: Kind) => ({
      completion: ask("openai/gpt-4o", "", { input: chat(turn(Role.USER, text("Look"), kind)) }),
    });
    expect((await client.countTokens(look(png))).inputTokens).toBeGreaterThan(plain.inputTokens + 500);
    const source = { case: "data" as const, value: new Uint8Array([1]) };
    const refused = await refusal(
      client.countTokens(look({ case: "document", value: { source, mediaType: "application/pdf" } })),
    );
    expect(refused).toMatchObject({ code: Code.InvalidArgument, reason: "CAPABILITY_MISSING" });
    expect(refused.message).toContain("chat.messages[0].parts[1]");
  });

  it("counts for those who may, and what may be", async () => {
    const client = gw.client().completions;
    expect(await refusal(client.countTokens({ completion: ask("openai/davinci", "hi") }))).toMatchObject({
      code: Code.InvalidArgument,
      reason: "MODEL_NOT_ALLOWED",
    });
    expect(await gw.event()).toMatchObject({ outcome: "refused", reason: "MODEL_NOT_ALLOWED" });
    await using other = await testGateway({ actor: { limits: { code_completions: [] } } });
    expect(
      await refusal(other.client().completions.countTokens({ completion: ask("openai/gpt-4o", "hi") })),
    ).toMatchObject({
      code: Code.PermissionDenied,
      reason: "FEATURE_NOT_GRANTED",
    });
  });
});

describe("the list of models", () => {
  it("tells of each what is known: provider, features, bounds, capabilities", async () => {
    const { models, patterns } = await gw.client().completions.listModels({});
    const find = (name: string) => models.find((model) => model.name === name);
    expect(find("openai/gpt-4o")).toMatchObject({
      provider: "openai",
      features: [Feature.CHAT_COMPLETIONS, Feature.CODE_COMPLETIONS],
      contextWindowTokens: 128_000,
      maxOutputTokens: 16_384,
      capabilities: { chat: true, images: true, tools: true, reasoning: false, jsonSchema: true, prediction: true },
    });
    expect(find("google/gemini-2.5-pro")).toMatchObject({ provider: "google", capabilities: { reasoning: true } });
    expect(find("fireworks/starcoder")).toMatchObject({ provider: "fireworks", capabilities: { chat: false } });
    expect(find(llama)).toMatchObject({ contextWindowTokens: 131_072 });
    expect(patterns).toContain("fireworks/accounts/fireworks/models/*");
  });
});
