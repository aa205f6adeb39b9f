// Typed completions through the generated client over every protocol, and through clients that are not ours.

import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type CompleteRequest,
  CompleteRequestSchema,
  Role,
  StopReason,
  type StreamCompleteResponse,
} from "../../gen/codygateway/v1/completions_pb.js";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { GatewayClientOptions } from "../../src/client.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { timed } from "../helpers/timed.js";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../..");
const buf = resolve(root, "node_modules/.bin/buf");

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

type MessageInit = Exclude<MessageInitShape<typeof CompleteRequestSchema>, CompleteRequest>;
const ask = (text: string, model = "anthropic/claude-sonnet-4-5", more: Partial<MessageInit> = {}): CompleteRequest =>
  create(CompleteRequestSchema, {
    ...more,
    model,
    input: {
      case: "chat",
      value: { messages: [{ role: Role.USER, parts: [{ kind: { case: "text", value: text } }] }] },
    },
  });

async function collect(stream: AsyncIterable<StreamCompleteResponse>): Promise<StreamCompleteResponse["event"][]> {
  const events = [];
  for await (const { event } of stream) events.push(event);
  return events;
}

function textOf(events: StreamCompleteResponse["event"][]): string {
  return events.map((event) => (event.case === "textDelta" ? event.value.text : "")).join("");
}

const protocols: Partial<GatewayClientOptions>[] = [
  { protocol: "connect", httpVersion: "1.1" },
  { protocol: "connect", httpVersion: "2" },
  { protocol: "grpc" },
  { protocol: "grpc-web", httpVersion: "1.1" },
  { protocol: "grpc-web", httpVersion: "2" },
];

describe.each(protocols)("the typed client over %o", (options) => {
  it("has the request's id once in each error, as the caller gave it", async () => {
    const { completions } = gw.client(options);
    const idOf = async (call: Promise<unknown>): Promise<string | null> =>
      ConnectError.from(await call.catch((error: unknown) => error)).metadata.get("x-request-id");
    const headers = { "x-request-id": "asked-so" };
    const wrong = ask("hi", "openai/no-such-model");
    expect(await idOf(completions.complete(wrong, { headers }))).toBe("asked-so");
    expect(await idOf(collect(completions.streamComplete({ completion: wrong }, { headers })))).toBe("asked-so");
    const broken = ask("[[die after=2]] hi", "openai/gpt-4o");
    expect(await idOf(collect(completions.streamComplete({ completion: broken }, { headers })))).toBe("asked-so");
  });

  it.each(["anthropic/claude-sonnet-4-5", "openai/gpt-4o"])("completes whole with %s", async (model) => {
    const answer = await gw.client(options).completions.complete(ask("[[say Good morning]]", model));
    expect(answer.model).toBe(model);
    expect(answer.stopReason).toBe(StopReason.END_TURN);
    expect(answer.message?.parts[0]?.kind).toMatchObject({ case: "text", value: "Good morning" });
    expect(answer.usage?.outputTokens).toBeGreaterThan(0);
    expect(await gw.event()).toMatchObject({ edge: "rpc", outcome: "completed", model });
  });

  it.each(["anthropic/claude-sonnet-4-5", "openai/gpt-4o"])(
    "streams with %s: one started first, one finished last",
    async (model) => {
      const request = { completion: ask("[[say Good morning, Zürich ✓]]", model) };
      const events = await collect(gw.client(options).completions.streamComplete(request));
      expect(textOf(events)).toBe("Good morning, Zürich ✓");
      expect(events[0]).toMatchObject({ case: "started", value: { model } });
      expect(events.at(-1)).toMatchObject({ case: "finished", value: { stopReason: StopReason.END_TURN } });
      expect(events.filter(({ case: name }) => name === "started" || name === "finished")).toHaveLength(2);
    },
  );

  it("does a tool round trip", async () => {
    const tools = [
      {
        name: "weather",
        description: "Tells the weather",
        inputSchema: { type: "object", properties: { city: { type: "string" } } },
      },
    ];
    const first = await gw
      .client(options)
      .completions.complete(ask("What is the weather in Bern? [[tool]]", undefined, { tools }));
    expect(first.stopReason).toBe(StopReason.TOOL_USE);
    const use = first.message?.parts.find(({ kind }) => kind.case === "toolUse")?.kind;
    if (use?.case !== "toolUse" || !first.message) throw new Error("no tool use");
    const result = {
      case: "toolResult" as const,
      value: { toolUseId: use.value.id, parts: [{ kind: { case: "text" as const, value: "sunny" } }] },
    };
    const second = await gw.client(options).completions.complete({
      model: "anthropic/claude-sonnet-4-5",
      tools,
      input: {
        case: "chat",
        value: {
          messages: [
            { role: Role.USER, parts: [{ kind: { case: "text", value: "What is the weather in Bern?" } }] },
            first.message,
            { role: Role.TOOL, parts: [{ kind: result }] },
          ],
        },
      },
    });
    expect(second.stopReason).toBe(StopReason.END_TURN);
  });

  it("says who may not and what was wrong, in codes and details", async () => {
    const cases: [string, () => Promise<unknown>, Code, string][] = [
      [
        "no token",
        () => gw.client({ ...options, token: "nobody-knows-this-token" }).completions.complete(ask("hi")),
        Code.Unauthenticated,
        "TOKEN_INVALID",
      ],
      [
        "model",
        () => gw.client(options).completions.complete(ask("hi", "openai/davinci")),
        Code.InvalidArgument,
        "MODEL_NOT_ALLOWED",
      ],
      [
        "overloaded",
        () => gw.client(options).completions.complete(ask("hi [[status=529 retry-after=3]]")),
        Code.Unavailable,
        "UPSTREAM_RATE_LIMITED",
      ],
      [
        "failed",
        () => gw.client(options).completions.complete(ask("hi [[status=500]]")),
        Code.Unavailable,
        "UPSTREAM_UNAVAILABLE",
      ],
      [
        "key refused",
        () => gw.client(options).completions.complete(ask("hi [[status=401]]")),
        Code.Internal,
        "UPSTREAM_REFUSED_KEY",
      ],
      [
        "refused",
        () => gw.client(options).completions.complete(ask("hi [[status=400]]")),
        Code.InvalidArgument,
        "UPSTREAM_REFUSED_REQUEST",
      ],
    ];
    for (const [name, call, code, reason] of cases) {
      const error = ConnectError.from(await call().catch((cause: unknown) => cause));
      expect(error.code, name).toBe(code);
      expect(error.findDetails(ErrorInfoSchema)[0], name).toMatchObject({ reason, domain: "codygateway" });
      expect(error.metadata.get("x-request-id"), name).toBeTruthy();
    }
  });

  it("gets an error, never a clean end, when the upstream breaks off", async () => {
    for (const directive of ["[[die after=2]]", "[[truncate after=2]]", "[[error after=2]]", "[[garbage]]"]) {
      const stream = gw.client(options).completions.streamComplete({ completion: ask(`hello ${directive}`) });
      const error = ConnectError.from(await collect(stream).catch((cause: unknown) => cause));
      expect(error.code, directive).toBe(Code.Unavailable);
    }
  });

  it("aborts the upstream at once when the loop is left, and frees the slot", async () => {
    const stream = gw.client(options).completions.streamComplete({ completion: ask("hello [[stall after=2]]") });
    const call = await (async () => {
      for await (const _ of stream) return gw.upstream.nextCall();
      throw new Error("no event");
    })();
    const { tookMs } = await timed(() => call.aborted);
    expect(tookMs).toBeLessThan(1_000);
    expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: true });
  });

  it("ends at its deadline, and the upstream with it", async () => {
    // On a machine that stands still it may be over before anything was sent.
    for (let timeoutMs = 300; gw.upstream.calls.length === 0; timeoutMs *= 2) {
      const request = { completion: ask("hello [[stall after=1]]") };
      const stream = gw.client(options).completions.streamComplete(request, { timeoutMs });
      const error = ConnectError.from(await collect(stream).catch((cause: unknown) => cause));
      expect(error.code).toBe(Code.DeadlineExceeded);
    }
    await gw.upstream.calls[0]?.aborted;
  });
});

describe("limits over RPC", () => {
  it("refuses with the limit, what was used, and when to come back", async () => {
    await using limited = await testGateway({ actor: { limits: { chat_completions: [{ limit: 1, per: "1h" }] } } });
    const client = limited.client();
    const first = await client.completions.complete(ask("hello"));
    expect(first.rateLimit).toMatchObject({ limit: 1n, used: 1n, remaining: 0n });
    const error = ConnectError.from(await client.completions.complete(ask("hello")).catch((cause: unknown) => cause));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.findDetails(QuotaFailureSchema)[0]?.violations[0]).toMatchObject({ subject: "chat_completions" });
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds;
    expect(Number(delay)).toBeGreaterThan(3_590);

    const { features } = await client.limits.getLimits({});
    expect(features).toHaveLength(1);
    expect(features[0]?.rateLimit).toMatchObject({ used: 1n, limit: 1n, remaining: 0n });
  });

  it("validates requests by the rules of the proto", async () => {
    const error = ConnectError.from(
      await gw
        .client()
        .completions.complete({ model: "" })
        .catch((cause: unknown) => cause),
    );
    expect(error.code).toBe(Code.InvalidArgument);
    expect(gw.upstream.calls).toHaveLength(0);
  });

  it("lists models", async () => {
    const { models, patterns } = await gw.client().completions.listModels({});
    expect(models.find(({ name }) => name === "openai/gpt-4o")).toMatchObject({ provider: "openai" });
    expect(patterns).toContain("anthropic/claude-*");
  });
});

describe("clients that are not ours", () => {
  const body = JSON.stringify({
    model: "openai/gpt-4o",
    chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "[[say Good morning]]" }] }] },
  });

  it("@grpc/grpc-js completes and streams", async () => {
    const loaded = loadSync("codygateway/v1/completions.proto", {
      includeDirs: [resolve(root, "proto")],
      oneofs: true,
    });
    const definition = grpc.loadPackageDefinition(loaded) as unknown as {
      codygateway: { v1: { CompletionsService: grpc.ServiceClientConstructor } };
    };
    const client = new definition.codygateway.v1.CompletionsService(
      gw.url.replace("http://", ""),
      grpc.credentials.createInsecure(),
    );
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    const request = {
      model: "openai/gpt-4o",
      chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "[[say Good morning]]" }] }] },
    };
    const answer = await new Promise<{ message: { parts: { text: string }[] } }>((done, fail) => {
      client["complete"]?.(request, metadata, (error: Error | null, value: never) =>
        error ? fail(error) : done(value),
      );
    });
    expect(answer.message.parts[0]?.text).toBe("Good morning");

    const stream = client["streamComplete"]?.({ completion: request }, metadata) as AsyncIterable<{
      textDelta?: { text: string };
    }>;
    let text = "";
    for await (const event of stream) text += event.textDelta?.text ?? "";
    expect(text).toBe("Good morning");
    client.close();
  });

  it.each(["connect", "grpc", "grpcweb"])("buf curl completes over %s, by reflection", async (protocol) => {
    const { stdout } = await run(buf, [
      "curl",
      "--protocol",
      protocol,
      "--http2-prior-knowledge",
      "-H",
      `authorization: Bearer ${token}`,
      "-d",
      body,
      `${gw.url}/codygateway.v1.CompletionsService/Complete`,
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ message: { parts: [{ text: "Good morning" }] } });
  });

  it("buf curl lists the services", async () => {
    const { stdout } = await run(buf, ["curl", "--http2-prior-knowledge", "--list-services", gw.url]);
    expect(stdout.split("\n")).toEqual(
      expect.arrayContaining(["codygateway.v1.CompletionsService", "grpc.health.v1.Health"]),
    );
  });

  it("plain curl completes with Connect's JSON, on HTTP/1.1 and HTTP/2", async () => {
    for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
      const { stdout } = await run("curl", [
        "-s",
        version,
        "-H",
        `authorization: Bearer ${token}`,
        "-H",
        "content-type: application/json",
        "-H",
        "connect-protocol-version: 1",
        "-d",
        body,
        `${gw.url}/codygateway.v1.CompletionsService/Complete`,
      ]);
      expect(JSON.parse(stdout), version).toMatchObject({ message: { parts: [{ text: "Good morning" }] } });
    }
  });

  it("health is served for standard tools", async () => {
    const { stdout } = await run(buf, [
      "curl",
      "--protocol",
      "grpc",
      "--http2-prior-knowledge",
      "-d",
      "{}",
      `${gw.url}/grpc.health.v1.Health/Check`,
    ]);
    expect(JSON.parse(stdout)).toEqual({ status: "SERVING" });
  });
});
