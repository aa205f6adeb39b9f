// What a receiver of traces gets of requests, from their caller's headers to the bytes of OTLP.

import { request } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { Role } from "../../gen/codygateway/v1/completions_pb.js";
import { startDemoBackEnds } from "../../src/demo/back-ends.js";
import { userToken } from "../../src/demo/dotcom.js";
import { demoSubscriptions } from "../../src/demo/subscriptions.js";
import { type TestGateway, type TestGatewayOptions, testGateway, token } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";
import { metricOf } from "../helpers/metric.js";
import type { ReadSpan } from "../helpers/otlp.js";
import { startRedis } from "../helpers/redis.js";
import { startTraceReceiver, type TraceReceiver } from "../helpers/trace-receiver.js";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

const prompt = "canary-prompt-about-a-merger";

interface Traced {
  readonly receiver: TraceReceiver;
  readonly gw: TestGateway;
  chat(content: string, more?: object, headers?: Record<string, string>): Promise<Answer>;
}

interface Answer {
  readonly status: number;
  readonly traceId: string;
  readonly spanId: string;
}

/** A gateway that exports spans as soon as there are any. */
async function traced(
  env: Readonly<Record<string, string>> = {},
  options: Omit<TestGatewayOptions, "env"> = {},
): Promise<Traced> {
  const receiver = await startTraceReceiver();
  open.push(receiver);
  const told = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: "10" };
  const gw = await testGateway({ ...options, env: { ...told, ...env } });
  open.push(gw);
  return {
    receiver,
    gw,
    chat: (content, more = {}, headers = {}) =>
      post(
        `${gw.url}/openai/v1/chat/completions`,
        { authorization: `Bearer ${token}`, ...headers },
        { model: "gpt-4o", messages: [{ role: "user", content }], ...more },
      ),
  };
}

async function post(url: string, headers: Record<string, string>, body: object | string): Promise<Answer> {
  const answer = await request(url, {
    method: "POST",
    headers,
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  await answer.body.text().catch(() => "");
  const { "x-trace": traceId, "x-trace-span": spanId } = answer.headers;
  return { status: answer.statusCode, traceId: String(traceId), spanId: String(spanId) };
}

/** The span under the ids that the caller was told. */
function spanOf({ receiver }: Traced, { traceId, spanId }: Answer): Promise<ReadSpan> {
  return receiver.span((span) => span.traceId === traceId && span.spanId === spanId);
}

/** Its parts, once there are so many: they may be sent after it. */
function partsOf({ receiver }: Traced, { spanId }: ReadSpan, atLeast: number): Promise<readonly ReadSpan[]> {
  return receiver.spans(({ parentSpanId }) => parentSpanId === spanId, atLeast);
}

const callerTrace = "0af7651916cd43dd8448eb211c80319c";
const traceparent = `00-${callerTrace}-b7ad6b7169203331-00`;

describe("the trace of a request", () => {
  it("has the ids that the caller was told, what became of the request, and its part at the upstream", async () => {
    const all = await traced({ OTEL_SERVICE_NAME: "gateway-of-acme", OTEL_RESOURCE_ATTRIBUTES: "team=llm%20ops,k=v" });
    const answer = await all.chat("hello [[usage in=7 out=5]]");

    const span = await spanOf(all, answer);
    expect(span).toMatchObject({
      name: "POST /openai/v1/chat/completions",
      kind: "SERVER",
      parentSpanId: "",
      links: [],
    });
    expect(span.attributes).toMatchObject({
      "http.request.method": "POST",
      "http.route": "/openai/v1/chat/completions",
      "http.response.status_code": 200,
      "network.protocol.version": "1.1",
      "cody_gateway.edge": "sdk",
      "cody_gateway.actor.id": "acme",
      "cody_gateway.actor.source": "static",
      "cody_gateway.feature": "chat_completions",
      "cody_gateway.model": "openai/gpt-4o",
      "cody_gateway.provider": "openai",
      "cody_gateway.outcome": "completed",
      "cody_gateway.quota.decision": "admitted",
      "cody_gateway.usage.input_tokens": 7,
      "cody_gateway.usage.output_tokens": 5,
    });
    expect(span.attributes).not.toHaveProperty("cody_gateway.answer");
    expect(span.failed).toBe(false);
    expect(span.endedAt).toBeGreaterThan(span.startedAt);

    const [part, ...others] = await partsOf(all, span, 1);
    expect(others).toEqual([]);
    expect(part).toMatchObject({ name: "chat gpt-4o", kind: "CLIENT", traceId: span.traceId, failed: false });
    expect(part?.attributes).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-4o",
      "gen_ai.usage.input_tokens": 7,
      "gen_ai.usage.output_tokens": 5,
      "http.response.status_code": 200,
      "server.address": "127.0.0.1",
    });
    expect(part?.events.map(({ name }) => name)).toEqual(["first_byte"]);

    const [{ resource, scope } = { resource: {}, scope: undefined }] = all.receiver.exports;
    expect(resource).toMatchObject({
      "service.name": "gateway-of-acme",
      "service.version": "0.0.0-test",
      team: "llm ops",
    });
    expect(scope).toEqual({ name: "cody-gateway", version: "0.0.0-test" });
  });

  it("is the caller's where it sends one: its span is linked and no parent, and its flag decides nothing", async () => {
    const all = await traced();
    const answer = await all.chat("hello", {}, { traceparent });

    expect(answer.traceId).toBe(callerTrace);
    expect(await spanOf(all, answer)).toMatchObject({
      traceId: callerTrace,
      parentSpanId: "",
      links: [`${callerTrace}/b7ad6b7169203331/768`],
    });
    // Providers are told nothing of it.
    expect(all.gw.upstream.calls.map(({ headers }) => headers["traceparent"])).toEqual([undefined]);
  });

  it("tells of streams when they have ended, over HTTP/1.1 and as typed calls over gRPC", async () => {
    const all = await traced();
    const span = await spanOf(all, await all.chat("[[chunks=3 every=5]]", { stream: true }));
    expect(span.attributes).toMatchObject({ "cody_gateway.stream": true, "cody_gateway.outcome": "completed" });
    expect(span.events.map(({ name }) => name)).toEqual(["first_byte"]);

    const client = all.gw.client({ protocol: "grpc" });
    const input = {
      case: "chat" as const,
      value: { messages: [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: "hello" } }] }] },
    };
    for await (const _ of client.completions.streamComplete({
      completion: { model: "anthropic/claude-sonnet-4-5", input },
    }));
    const call = await all.receiver.span(({ name }) => name === "codygateway.v1.CompletionsService/StreamComplete");
    expect(call).toMatchObject({ kind: "SERVER", failed: false });
    expect(call.attributes).toMatchObject({
      "rpc.system": "grpc",
      "rpc.service": "codygateway.v1.CompletionsService",
      "rpc.method": "StreamComplete",
      "network.protocol.version": "2",
      "cody_gateway.edge": "rpc",
      "cody_gateway.outcome": "completed",
      "cody_gateway.stream": true,
    });
    expect(call.attributes).not.toHaveProperty("cody_gateway.answer");
    expect((await partsOf(all, call, 1)).map(({ name }) => name)).toEqual(["chat claude-sonnet-4-5"]);

    await expect(client.completions.complete({ model: "anthropic/none", input })).rejects.toThrow();
    const refused = await all.receiver.span(({ attributes }) => attributes["rpc.method"] === "Complete");
    expect(refused.attributes).toMatchObject({
      "rpc.response.status_code": "invalid_argument",
      "cody_gateway.reason": "MODEL_NOT_ALLOWED",
    });
    expect(refused.failed).toBe(false);
  });

  it("tells of refusals why, and of no upstream", async () => {
    const all = await traced({}, { actor: { limits: { chat_completions: [{ limit: 1, per: "1h" }] } } });
    await all.chat("hello");
    const limited = await spanOf(all, await all.chat("hello"));
    expect(limited.attributes).toMatchObject({
      "http.response.status_code": 429,
      "cody_gateway.outcome": "refused",
      "cody_gateway.reason": "QUOTA_EXCEEDED",
      "cody_gateway.quota.decision": "refused",
    });
    expect(limited.failed).toBe(false);

    const stranger = await spanOf(all, await all.chat("hello", {}, { authorization: "Bearer nobody-knows-this-one" }));
    expect(stranger.attributes).toMatchObject({
      "http.response.status_code": 401,
      "cody_gateway.reason": "TOKEN_INVALID",
    });
    for (const span of [limited, stranger]) expect(await partsOf(all, span, 0)).toEqual([]);
  });

  it("tells of a failure at the first upstream and of the one that took over", async () => {
    const all = await traced(
      {},
      {
        file: (upstream) => ({
          providers: [
            {
              name: "other",
              kind: "openai-compatible",
              baseUrl: `${upstream.url}/v1`,
              keys: [{ ref: "env:OPENAI_API_KEY" }],
              models: ["*"],
            },
          ],
          models: [{ id: "openai/demo-busy", fallbacks: [{ model: "other/demo-well" }] }],
        }),
      },
    );
    const span = await spanOf(all, await all.chat("hello", { model: "demo-busy" }));

    expect(span.attributes).toMatchObject({
      "http.response.status_code": 200,
      "cody_gateway.attempts": 2,
      "cody_gateway.upstream": "other",
    });
    const parts = await partsOf(all, span, 2);
    expect(parts.map(({ name, failed, attributes }) => [name, failed, attributes["error.type"]])).toEqual([
      ["chat demo-busy", true, "UPSTREAM_RATE_LIMITED"],
      ["chat demo-well", false, undefined],
    ]);
    expect(parts[0]?.attributes["http.response.status_code"]).toBe(429);
  });

  it("tells what a request had cost whose caller left", async () => {
    const all = await traced();
    const leaving = new AbortController();
    const answer = await request(`${all.gw.url}/openai/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({
        model: "gpt-4o",
        stream: true,
        messages: [{ role: "user", content: "[[chunks=500 every=20]]" }],
      }),
      signal: leaving.signal,
    });
    for await (const _ of answer.body) break;
    leaving.abort();

    const { "x-trace": traceId, "x-trace-span": spanId } = answer.headers;
    const span = await spanOf(all, { status: 200, traceId: String(traceId), spanId: String(spanId) });
    expect(span.attributes).toMatchObject({
      "cody_gateway.answer": "broken_off",
      "cody_gateway.outcome": "client_gone",
    });
  });

  it("tells of look-ups at a source, of syncs, and of events' delivery", async () => {
    const ends = await startDemoBackEnds();
    open.push(ends);
    ends.portal.set(demoSubscriptions(3));
    ends.dotcom.set({ id: 42, username: "ada" });
    const all = await traced({ ...ends.env });

    const answer = await all.chat("hello", {}, { authorization: `Bearer ${userToken(42)}` });
    expect(answer.status).toBe(200);
    const span = await spanOf(all, answer);
    const parts = await partsOf(all, span, 2);
    expect(parts.map(({ name }) => name)).toEqual(["source.lookup", "chat gpt-4o"]);
    expect(parts[0]?.attributes).toEqual({
      "cody_gateway.actor.source": "dotcom-user",
      "cody_gateway.outcome": "found",
    });

    const sync = await all.receiver.span(({ name }) => name === "source.sync");
    expect(sync.attributes).toMatchObject({ "cody_gateway.outcome": "succeeded", "cody_gateway.sync.seen": 3 });
    const delivery = await all.receiver.span(({ name }) => name === "events.deliver");
    expect(delivery).toMatchObject({ kind: "CLIENT", parentSpanId: "", failed: false });
    expect(delivery.attributes).toEqual({ "cody_gateway.sink": "test", "cody_gateway.events": 1 });
  });

  it("tells how long Redis took to admit and to settle", async () => {
    const redis = await startRedis();
    open.push(redis);
    const all = await traced(
      { REDIS_ENDPOINT: redis.endpoint },
      { actor: { limits: { chat_completions: [{ limit: 1, per: "1h" }] } } },
    );
    const span = await spanOf(all, await all.chat("hello"));
    const parts = await partsOf(all, span, 3);
    expect(parts.map(({ name }) => name)).toEqual(["quota.reserve", "chat gpt-4o", "quota.settle"]);
    expect(parts[2]?.attributes).toEqual({ "cody_gateway.quota.settlement": "commit" });
  });
});

describe("what is traced", () => {
  it("is what asks for it, where the policy is selective, and nothing else", async () => {
    const all = await traced({ CODY_GATEWAY_TRACE_POLICY: "selective" });
    await all.chat("hello", {}, { traceparent: traceparent.replace(/00$/, "01") });
    const asked = await all.chat("hello", {}, { "x-sourcegraph-should-trace": "true" });

    await spanOf(all, asked);
    await all.gw.gateway.drain({ delayMs: 0, timeoutMs: 0 });
    expect(all.receiver.exports.flatMap(({ spans }) => spans).map(({ traceId }) => traceId)).toEqual([
      asked.traceId,
      asked.traceId,
    ]);
  });

  it.each([
    { CODY_GATEWAY_TRACE_POLICY: "none" },
    { OTEL_SDK_DISABLED: "true" },
    { OTEL_TRACES_EXPORTER: "none" },
    { OTEL_TRACES_SAMPLER: "always_off" },
    { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" },
  ])("is nothing with %o", async (env) => {
    const all = await traced(env);
    const { status, traceId } = await all.chat("hello", {}, { "x-sourcegraph-should-trace": "true", traceparent });
    expect([status, traceId]).toEqual([200, callerTrace]);
    await all.gw.gateway.drain({ delayMs: 0, timeoutMs: 0 });
    expect(all.receiver.calls).toEqual([]);
  });

  it("is no health check and no diagnostics", async () => {
    const all = await traced();
    for (const path of ["/livez", "/readyz", "/metrics", "/-/__version"]) await (await fetch(all.gw.url + path)).text();
    const after = await all.chat("hello");
    await spanOf(all, after);
    expect(all.receiver.exports.flatMap(({ spans }) => spans).filter(({ kind }) => kind === "SERVER")).toHaveLength(1);
  });

  it("holds no token, key or prompt", async () => {
    const all = await traced();
    const secrets = [token, "upstream-key-openai", prompt, `slk_${"0123456789abcdef".repeat(4)}`];
    const stranger = { authorization: `Bearer ${secrets[3]}` };
    await all.chat(prompt);
    await all.chat(prompt, { stream: true });
    await all.chat(prompt, {}, stranger);
    await all.chat("hello", { model: prompt });
    await all.chat(`${prompt} [[status=400]]`);
    await all.chat(`${prompt} [[die after=1]]`, { stream: true });
    const { url } = all.gw;
    await post(`${url}/openai/v1/${secrets[3]}?key=${token}`, { authorization: `Bearer ${token}` }, prompt);
    await post(`${url}/google/v1beta/models/${prompt}:generateContent?key=${token}`, {}, "{}");
    await post(`${url}/openai/v1/chat/completions`, { authorization: `Bearer ${token}` }, `{"model": "${prompt}`);
    await all.gw.gateway.drain({ delayMs: 0, timeoutMs: 0 });

    const servers = all.receiver.exports.flatMap(({ spans }) => spans).filter(({ kind }) => kind === "SERVER");
    expect(servers).toHaveLength(9);
    const bytes = Buffer.concat(all.receiver.calls.map((call) => call.bytes)).toString("latin1");
    expect(secrets.filter((secret) => bytes.includes(secret))).toEqual([]);
  });
});

describe("a receiver of traces", () => {
  it("gets headers and gzip as they are set, at the endpoint of traces", async () => {
    const receiver = await startTraceReceiver();
    open.push(receiver);
    const all = await traced({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.url.replace("//", "//ada:secret@")}/own/path`,
      OTEL_EXPORTER_OTLP_HEADERS: "x-scope=acme",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    });
    await spanOf({ ...all, receiver }, await all.chat("hello"));
    expect(receiver.calls[0]).toMatchObject({
      path: "/own/path",
      headers: {
        authorization: `Basic ${Buffer.from("ada:secret").toString("base64")}`,
        "x-scope": "acme",
        "content-encoding": "gzip",
        "content-type": "application/x-protobuf",
      },
    });
    expect(all.receiver.calls).toEqual([]);
  });

  it.each([
    ["refuses", { status: 400, body: "<html>no</html>" }],
    ["is overloaded", { status: 503 }],
    ["says nothing", "silence" as const],
    ["answers with garbage", { status: 200, body: "\n\u00ff\u00ff not protobuf" }],
  ])("that %s disturbs no request and no end", async (_name, answer) => {
    const log = recordingLog();
    const env = {
      OTEL_BSP_MAX_QUEUE_SIZE: "4",
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "2",
      OTEL_EXPORTER_OTLP_TIMEOUT: "200",
    };
    const all = await traced(env, { log });
    all.receiver.answerWith(answer);
    const answers = await Promise.all(Array.from({ length: 10 }, () => all.chat("hello")));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    await all.receiver.called(1);
    const of = (result: string) => metricOf(all.gw, `cody_gateway_spans_total{result="${result}"}`);
    const counted = async (): Promise<number> =>
      [await of("exported"), await of("dropped")].reduce((sum, each) => sum + (each || 0), 0);
    await expect.poll(counted).toBeGreaterThan(0);

    await all.gw.gateway.drain({ delayMs: 0, timeoutMs: 0 });
    const said = log.lines.filter(({ message }) => message === "traces cannot be exported");
    expect(said).toHaveLength(typeof answer === "object" && answer.status === 200 ? 0 : 1);
    expect(JSON.stringify(said)).not.toContain("secret");
  });

  it("gets what waits when the gateway ends", async () => {
    const all = await traced({ OTEL_BSP_SCHEDULE_DELAY: "60000" });
    const answer = await all.chat("hello");
    expect(all.receiver.calls).toEqual([]);
    await all.gw.gateway.drain({ delayMs: 0, timeoutMs: 0 });
    await spanOf(all, answer);
  });
});
