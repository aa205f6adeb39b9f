// Servers that never report tokens, and answers that nobody heard to their end: what events, callers and limits are told.

import { create } from "@bufbuild/protobuf";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CompleteRequest, CompleteRequestSchema, Role } from "../../gen/codygateway/v1/completions_pb.js";
import { estimateTokens } from "../../src/models/tokens.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { openStream } from "../helpers/open-stream.js";

/** Dollars for a million tokens, which are microdollars for one. */
const prices = { inputPerMillion: 1, outputPerMillion: 3 };
const chatPath = "/openai/v1/chat/completions";

let gw: TestGateway;
beforeAll(async () => {
  const limits = [
    { limit: 1_000_000, unit: "tokens", per: "24h" },
    { limit: 10_000_000, unit: "microdollars", per: "24h" },
    { limit: 1_000, unit: "requests", per: "24h" },
  ];
  gw = await testGateway({
    actor: { limits: { chat_completions: limits } },
    file: { models: [{ id: "openai/gpt-4o", prices }] },
  });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

function ask(content: string, stream: boolean, more: object = {}): RequestInit {
  return {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "x-sourcegraph-feature": "chat_completions" },
    body: JSON.stringify({ model: "gpt-4o", stream, messages: [{ role: "user", content }], ...more }),
  };
}

function typed(content: string): CompleteRequest {
  const parts = [{ kind: { case: "text" as const, value: content } }];
  const input = { case: "chat" as const, value: { messages: [{ role: Role.USER, parts }] } };
  return create(CompleteRequestSchema, { model: "openai/gpt-4o", input });
}

/** Units used of the limits, by unit. */
async function used(): Promise<Record<"tokens" | "microdollars" | "requests", number>> {
  const { features } = await gw.client().limits.getLimits({});
  const [tokens, microdollars, requests] = (features[0]?.rateLimits ?? []).map((limit) => Number(limit.used));
  return { tokens: tokens ?? 0, microdollars: microdollars ?? 0, requests: requests ?? 0 };
}

/** By the vocabulary or, where that takes too long, by length. */
const counts = (text: string): number[] => [countTokens(text), estimateTokens(text)];

function expectCounted({ usage }: UsageEvent, prompt: string, said: string): void {
  expect(usage.estimated).toBe(true);
  expect(counts(prompt)).toContain(usage.inputTokens);
  expect(counts(said)).toContain(usage.outputTokens);
}

const question = "What is a gateway? [[no-usage]] [[say A gateway stands between two networks.]]";
const said = "A gateway stands between two networks.";

it("is counted by the tokenizer that a gateway is given, which is left open for others", async () => {
  let closed = 0;
  const tokenizer = { count: async () => 1_234, close: async () => void closed++ };
  {
    await using own = await testGateway({ tokenizer });
    await fetch(own.url + chatPath, ask(question, false));
    expect((await own.event()).usage).toMatchObject({ inputTokens: 1_234, estimated: true });
  }
  expect(closed).toBe(0);
});

describe("an upstream that reports no tokens", () => {
  it("has those of its answers counted, and limits are charged so many", async () => {
    for (const stream of [false, true]) {
      gw.reset();
      const before = await used();
      const answer = await fetch(gw.url + chatPath, ask(question, stream));
      expect(answer.status).toBe(200);
      expect(await answer.text()).not.toContain('"usage":{');
      const event = await gw.event();
      expect(event).toMatchObject({ outcome: "completed", charged: true });
      expectCounted(event, question, said);
      const { inputTokens = 0, outputTokens = 0 } = event.usage;
      expect(await used()).toEqual({
        tokens: before.tokens + inputTokens + outputTokens,
        microdollars: before.microdollars + inputTokens + 3 * outputTokens,
        requests: before.requests + 1,
      });
    }
  });

  it("has them counted for typed callers, who are told", async () => {
    const { completions } = gw.client();
    const whole = await completions.complete(typed(question));
    const wholeEvent = await gw.event();
    expectCounted(wholeEvent, question, said);
    expect(whole.usage).toMatchObject(wholeEvent.usage);

    gw.reset();
    const finished = [];
    for await (const { event } of completions.streamComplete({ completion: typed(question) }))
      if (event.case === "finished") finished.push(event.value.usage);
    const streamEvent = await gw.event();
    expectCounted(streamEvent, question, said);
    expect(finished).toEqual([expect.objectContaining(streamEvent.usage)]);
  });

  it("does not make reported tokens estimates", async () => {
    const { usage } = await gw.client().completions.complete(typed("What is a gateway?"));
    const event = await gw.event();
    expect([usage?.estimated, event.usage.estimated]).toEqual([false, undefined]);
    expect(usage).toMatchObject(event.usage);
  });
});

describe("an answer that broke off", () => {
  it("has no say in how much is held of later requests", async () => {
    // Whose other answers are not those of the tests above.
    const model = "gpt-4o-mini";
    const long = "[[usage in=5 out=900]]";
    const held = async (id: string): Promise<number> => {
      const before = await used();
      gw.upstream.script({ hold: true });
      const answer = fetch(gw.url + chatPath, ask(`This is ${id}. ${long}`, false, { model }));
      const call = await gw.upstream.waitFor(({ body }) => body.includes(id));
      const during = await used();
      call.answer();
      await (await answer).text();
      return during.tokens - before.tokens;
    };
    await fetch(gw.url + chatPath, ask(`Go on. ${long}`, false, { model })).then((answer) => answer.text());
    const one = await held("one");
    for (const how of ["die", "truncate", "error"]) {
      gw.reset();
      const cut = await openStream(gw.url + chatPath, ask(`Go on. [[${how} after=2]]`, true, { model }));
      await cut.ended;
      const event = await gw.event();
      expect(event).toMatchObject({ outcome: "failed", charged: true, usage: { estimated: true } });
      expect(event.usage.outputTokens).toBeLessThan(20);
    }
    expect(one).toBeGreaterThan(800);
    expect(await held("two")).toBe(one);
  });
});

describe("a gateway that ends", () => {
  it("still tells what it has counted of the streams that it breaks off", async () => {
    const ending = await testGateway({ actor: { limits: { chat_completions: [{ limit: 5, per: "24h" }] } } });
    const { url, upstream, events } = ending;
    const stream = await openStream(url + chatPath, ask("Go on. [[say one two three]] [[stall after=3]]", true));
    await stream.until((received) => received.includes("three"));
    await ending[Symbol.asyncDispose]();
    expect(upstream.calls).toHaveLength(1);
    expect(events).toHaveLength(1);
    const [event] = events as [UsageEvent];
    expect(event.charged).toBe(true);
    expectCounted(event, "Go on. [[say one two three]] [[stall after=3]]", "one two three");
  });
});
