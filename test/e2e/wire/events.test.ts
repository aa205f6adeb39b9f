// wire.md 7 (events), 9 (observability), 16 (what users complained of): what analytics and operators are told of a request.

import { afterAll, beforeAll, describe, it } from "vitest";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { marker, type Wire, wireTo } from "../../helpers/wire.js";

let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  gw = await testGateway({ actor: { limits: { chat_completions: [{ limit: 500, per: "24h" }] } } });
  wire = wireTo(gw);
});
afterAll(() => gw[Symbol.asyncDispose]());

/** Asks, and resolves to the event of that request. */
async function eventOf(body: object, path = "/v1/completions/openai") {
  const uid = marker();
  await wire.ask(path, body, [`X-Sourcegraph-Actor-UID: ${uid}`]);
  return gw.event(({ endUser }) => endUser?.id === uid);
}
const chat = (content: string, more: object = {}) => ({
  model: "gpt-4o",
  messages: [{ role: "user", content }],
  ...more,
});
const anthropic = (content: string, more: object = {}) => ({
  ...chat(content),
  model: "claude-3-haiku-20240307",
  max_tokens: 10,
  ...more,
});

describe.concurrent("7 events", () => {
  it("7 name actor, source, feature, gateway model, provider, and whether it was streamed", async ({ expect }) => {
    const event = await eventOf(chat("hi", { stream: true }));
    expect(event).toMatchObject({
      actor: { id: "acme", source: "static" },
      feature: "chat_completions",
      model: "openai/gpt-4o",
      provider: "openai",
      edge: "sourcegraph",
      stream: true,
      outcome: "completed",
      upstreamStatus: 200,
      environment: "dev",
      charged: true,
    });
    expect(event.upstreamMs).toBeLessThanOrEqual(event.durationMs);
  });

  it.for([true, false])("7, 15.21 have the tokens that the provider reports, stream %s", async (stream, { expect }) => {
    const openai = await eventOf(chat("[[usage in=120 out=44]]", { stream }));
    expect(openai.usage).toMatchObject({ inputTokens: 120, outputTokens: 44 });
    const claude = await eventOf(anthropic("[[usage in=7 out=3]]", { stream }), "/v1/completions/anthropic-messages");
    expect(claude.usage).toMatchObject({ inputTokens: 7, outputTokens: 3 });
    const contents = [{ role: "user", parts: [{ text: "[[usage in=9 out=5]]" }] }];
    const google = await eventOf({ model: "gemini-1.5-flash", contents, stream }, "/v1/completions/google");
    expect(google.usage).toMatchObject({ inputTokens: 9, outputTokens: 5 });
  });

  it("7 tell of failures as such: the status of the provider, and that nothing was charged", async ({ expect }) => {
    expect(await eventOf(chat("[[status=503]]"))).toMatchObject({
      outcome: "failed",
      upstreamStatus: 503,
      charged: false,
    });
  });

  it("7 are there for requests refused for their model, without one", async ({ expect }) => {
    const event = await eventOf(chat("hi", { model: "claude-2" }));
    expect(event).toMatchObject({ outcome: "refused", reason: "MODEL_NOT_ALLOWED" });
    expect(event.model).toBeUndefined();
  });

  it("15.22 have ids of their own that tell redeliveries apart", async ({ expect }) => {
    const ids = (await Promise.all([1, 2, 3].map(() => eventOf(chat("hi"))))).map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^\S{20,}$/);
  });

  it("7 hold no prompt and no token", async ({ expect }) => {
    const text = marker();
    expect(JSON.stringify(await eventOf(chat(text)))).not.toMatch(new RegExp(`${text}|test-token`));
  });
});

describe("9 observability", () => {
  it("9 metrics tell requests under way, overhead and outcomes by provider and feature", async ({ expect }) => {
    await eventOf(chat("hi"));
    const { body } = await wire.send("GET /metrics");
    for (const name of [
      'cody_gateway_requests_total{surface="sourcegraph",feature="chat_completions",provider="openai",outcome="completed"',
      'cody_gateway_request_overhead_seconds_count{surface="sourcegraph",feature="chat_completions",provider="openai"}',
      'cody_gateway_requests_in_flight{surface="sourcegraph",feature="chat_completions"}',
      'cody_gateway_build_info{version="0.0.0-test",environment="dev"} 1',
    ])
      expect(body).toContain(name);
  });
});
