// Models that take over when another one fails: what the caller gets, what the upstreams see, what is charged and told.

import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CompleteRequest, CompleteRequestSchema, Role } from "../../gen/codygateway/v1/completions_pb.js";
import type { Behaviour } from "../../src/demo/behaviour.js";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { freePort } from "../helpers/free-port.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { type RawUpstream, rawUpstream } from "../helpers/raw-upstream.js";
import { testUpstream } from "../helpers/upstream.js";

let first: DemoUpstream;
let second: DemoUpstream;
let raws: Record<"reset" | "garbage" | "silent", RawUpstream>;
let gw: TestGateway;

const local = (name: string, baseUrl: string, more: object = {}): object => ({
  name,
  kind: "openai-compatible",
  baseUrl,
  models: ["*"],
  ...more,
});

beforeAll(async () => {
  [first, second] = await Promise.all([testUpstream(), testUpstream()]);
  raws = {
    reset: await rawUpstream({ onData: (socket) => socket.resetAndDestroy() }),
    garbage: await rawUpstream({ onData: (socket) => socket.end("no HTTP at all\r\n\r\n") }),
    silent: await rawUpstream(),
  };
  const raw = ([name, { port }]: [string, RawUpstream]): object =>
    local(name, `http://127.0.0.1:${port}/v1`, { timeouts: { firstByte: "300ms" } });
  const key = [{ ref: "env:KEY" }];
  const fallbacks = [{ model: "second/demo-b" }];
  gw = await testGateway({
    env: { KEY: "key", NARROW_TOKEN: narrowToken },
    actor: {
      limits: {
        chat_completions: [
          { limit: 100_000, per: "24h" },
          { limit: 1_000_000_000, unit: "microdollars", per: "24h" },
          { inFlight: 50 },
        ],
      },
    },
    actors: [
      {
        id: "narrow",
        tokens: [{ ref: "env:NARROW_TOKEN" }],
        limits: { chat_completions: [] },
        models: { chat_completions: ["first/*", "virtual/mix"] },
      },
    ],
    file: {
      providers: [
        local("first", `${first.url}/v1`, { keys: key }),
        local("second", `${second.url}/v1`, { keys: key }),
        { name: "claude", kind: "anthropic", baseUrl: first.url, keys: key, models: ["*"] },
        local("refused", `http://127.0.0.1:${await freePort()}/v1`),
        ...Object.entries(raws).map(raw),
      ],
      models: [
        {
          id: "first/demo-many-*",
          fallbacks: [1, 2, 3, 4, 5].map((spare) => ({ model: `first/demo-spare-${spare}` })),
        },
        ...["first/demo-*", "claude/demo-*", "refused/*", ...Object.keys(raws).map((name) => `${name}/*`)].map(
          (id) => ({ id, fallbacks, prices: { inputPerMillion: 1000, outputPerMillion: 1000 } }),
        ),
        { id: "second/demo-b", prices: { inputPerMillion: 3, outputPerMillion: 5 } },
        {
          id: "virtual/mix",
          routes: [{ model: "first/demo-plain", weight: 1000 }, { model: "second/demo-c" }],
        },
      ],
    },
  });
});
const narrowToken = "token-of-the-narrow-actor";
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  for (const each of [first, second, ...Object.values(raws)]) await each[Symbol.asyncDispose]();
});
beforeEach(() => {
  gw.reset();
  first.reset();
  second.reset();
});

interface Question {
  readonly content?: string;
  readonly stream?: boolean;
  readonly as?: string;
  readonly headers?: Record<string, string>;
}

function ask(model: string, { content = "hello", stream = false, as = token, headers = {} }: Question = {}) {
  const [upstream = "", ...name] = model.split("/");
  return fetch(`${gw.url}/${upstream}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${as}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: name.join("/"), stream, messages: [{ role: "user", content }] }),
  });
}

async function used(): Promise<(bigint | number | undefined)[]> {
  const { features } = await gw.client().limits.getLimits({});
  const [feature] = features;
  return [feature?.rateLimit?.used, feature?.inFlight];
}

/** What the first upstream does in place of an answer. */
const failures: [string, Behaviour | undefined][] = [
  ["first/demo-a", { status: 429, retryAfter: "7" }],
  ["first/demo-a", { status: 529 }],
  ["first/demo-a", { status: 500 }],
  ["first/demo-a", { status: 503 }],
  ["first/demo-a", { status: 401 }],
  ["first/demo-a", { dieAfter: 0 }],
  ["reset/demo-a", undefined],
  ["garbage/demo-a", undefined],
];

describe("a model that fails before its answer begins", () => {
  it.each(failures)("%s, %j: another one answers", async (model, behaviour) => {
    const before = await used();
    if (behaviour) first.script(behaviour);
    second.script({ text: "from the second" });
    const answer = await ask(model);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain("from the second");
    expect(answer.headers.get("x-cody-resolved-model")).toBe("second/demo-b");
    expect(first.calls).toHaveLength(behaviour ? 1 : 0);
    expect(second.calls.map((call) => call.model)).toEqual(["demo-b"]);

    const event = await gw.event();
    expect(event).toMatchObject({
      model: "second/demo-b",
      upstream: "second",
      provider: "openai-compatible",
      requestedModel: "demo-a",
      attempts: 2,
      outcome: "completed",
      charged: true,
      upstreamStatus: 200,
    });
    expect(gw.events).toHaveLength(1);
    expect(await used()).toEqual([(before[0] as bigint) + 1n, 0]);
  });

  it("no connection: tried once more, then another one answers", async () => {
    expect((await ask("refused/demo-a")).status).toBe(200);
    expect(await gw.event()).toMatchObject({ model: "second/demo-b", attempts: 3, charged: true });
  });

  it("no first byte in time: another one answers, streamed", async () => {
    const answer = await ask("silent/demo-a", { stream: true });
    expect([answer.status, answer.headers.get("x-cody-resolved-model")]).toEqual([200, "second/demo-b"]);
    expect(await answer.text()).toMatch(/\[DONE\]\n\n$/);
    const event = await gw.event();
    expect(event).toMatchObject({ model: "second/demo-b", attempts: 2, stream: true });
    // Timers may be early by a millisecond.
    expect(event.upstreamMs).toBeGreaterThan(298);
    expect(event.firstByteMs).toBeGreaterThan(298);
  });

  it("is charged at the price of the one that answered", async () => {
    const money = async (): Promise<bigint> => {
      const [feature] = (await gw.client().limits.getLimits({})).features;
      return feature?.rateLimits.find(({ limit }) => limit === 1_000_000_000n)?.used ?? -1n;
    };
    const before = await money();
    first.script({ status: 500 });
    second.script({ usage: { inputTokens: 100, outputTokens: 10 } });
    await (await ask("first/demo-a")).text();
    expect((await money()) - before).toBe(350n);
  });
});

describe("what no other model takes over", () => {
  it.each<[Behaviour, number]>([
    [{ status: 400 }, 400],
    [{ status: 404 }, 404],
    [{ redirect: "http://127.0.0.1:9/" }, 502],
  ])("%j: %i", async (behaviour, status) => {
    first.script(behaviour);
    expect((await ask("first/demo-a")).status).toBe(status);
    expect(second.calls).toHaveLength(0);
    expect(await gw.event()).toMatchObject({ model: "first/demo-a", charged: false });
  });

  it.each(["[[die after=2]]", "[[error after=2]]", "[[truncate after=0]]"])(
    "a stream that has begun: %s",
    async (directive) => {
      const answer = await ask("first/demo-a", { content: directive, stream: true });
      await answer.text().catch(() => undefined);
      expect([first.calls.length, second.calls.length]).toEqual([1, 0]);
      expect(await gw.event()).toMatchObject({ model: "first/demo-a", outcome: "failed", charged: true });
    },
  );

  it("a request whose caller has left", async () => {
    first.holdAll();
    const abort = new AbortController();
    const body = JSON.stringify({ model: "demo-a", messages: [{ role: "user", content: "hello" }] });
    const headers = { authorization: `Bearer ${token}` };
    const url = `${gw.url}/first/v1/chat/completions`;
    const gone = fetch(url, { method: "POST", headers, body, signal: abort.signal }).catch(() => "gone");
    const call = await first.nextCall();
    abort.abort();
    await call.aborted;
    expect(await gone).toBe("gone");
    expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: false });
    expect(second.calls).toHaveLength(0);
  });

  it("a request whose caller's own time is over", async () => {
    first.holdAll();
    const answer = await ask("first/demo-a", { headers: { "x-timeout-ms": "150" } });
    expect(answer.status).toBe(504);
    // Also where it is over at the same moment as the first upstream's.
    const late = await ask("silent/demo-late", { stream: true, headers: { "x-timeout-ms": "300" } });
    expect(late.status).toBe(504);
    expect(second.calls).toHaveLength(0);
  });

  it("one that the actor may not use itself: the provider's own error is passed on", async () => {
    first.script({ status: 500 });
    const answer = await ask("first/demo-a", { as: narrowToken });
    expect([answer.status, first.calls.length, second.calls.length]).toEqual([500, 1, 0]);
    expect(answer.headers.get("x-cody-resolved-model")).toBe("first/demo-a");
  });

  it("one that speaks another language: Anthropic's own error is passed on", async () => {
    const answer = await fetch(`${gw.url}/claude/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": token, "content-type": "application/json" },
      body: JSON.stringify({ model: "demo-a", max_tokens: 9, messages: [{ role: "user", content: "[[status=529]]" }] }),
    });
    expect([answer.status, second.calls.length]).toEqual([503, 0]);
    expect(await answer.json()).toMatchObject({ type: "error", error: { type: "overloaded_error" } });
  });

  it("a second failure: the caller is told of the last one", async () => {
    first.script({ status: 500 });
    second.script({ status: 503, retryAfter: "4" });
    const answer = await ask("first/demo-a");
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "4"]);
    expect(answer.headers.get("x-cody-resolved-model")).toBe("second/demo-b");
    expect(await gw.event()).toMatchObject({ attempts: 2, outcome: "failed", charged: false, upstreamStatus: 503 });
  });
});

function typed(model: string): CompleteRequest {
  const parts = [{ kind: { case: "text" as const, value: "hello" } }];
  return create(CompleteRequestSchema, {
    model,
    input: { case: "chat", value: { messages: [{ role: Role.USER, parts }] } },
  });
}

describe("typed requests", () => {
  it("are translated anew for a provider that speaks another language", async () => {
    first.script({ status: 529 });
    const answer = await gw.client().completions.complete(typed("claude/demo-a"));
    expect(answer.model).toBe("second/demo-b");
    expect([first.calls[0]?.path, second.calls[0]?.path]).toEqual(["/v1/messages", "/v1/chat/completions"]);
    expect(await gw.event()).toMatchObject({ requestedModel: "claude/demo-a", attempts: 2, edge: "rpc" });
  });

  it("stream from the one that took over", async () => {
    first.script({ status: 500 });
    const seen: string[] = [];
    for await (const { event } of gw.client().completions.streamComplete({ completion: typed("claude/demo-a") }))
      seen.push(event.case === "started" ? event.value.model : (event.case ?? ""));
    expect([seen[0], seen.at(-1)]).toEqual(["second/demo-b", "finished"]);
    expect(second.calls).toHaveLength(1);
  });
});

describe("routes by weight", () => {
  it("stand in for each other, also for an actor that may use only the name", async () => {
    first.script({ status: 500 }, 100);
    const models: string[] = [];
    for (let asked = 0; asked < 3; asked++)
      models.push((await gw.client({ token: narrowToken }).completions.complete(typed("virtual/mix"))).model);
    expect(models).toEqual(["second/demo-c", "second/demo-c", "second/demo-c"]);
    expect(first.calls.length).toBeGreaterThan(0);
  });
});

describe("a fallback at the same upstream", () => {
  it("is within the budget: an outage is not multiplied", async () => {
    first.script({ status: 503 }, 10_000);
    const asks = 40;
    // Each has a name of its own, so that no model becomes unavailable before the budget counts.
    for (let asked = 0; asked < asks; asked++) expect((await ask(`first/demo-many-${asked}`)).status).toBe(503);
    expect(first.calls.filter(({ model }) => model?.startsWith("demo-spare")).length).toBeGreaterThan(0);
    expect(first.calls.length).toBeLessThanOrEqual(asks * 1.1 + 8);
  });
});
