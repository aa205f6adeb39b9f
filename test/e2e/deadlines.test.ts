// How long callers want to wait: heard in whichever words they say it, and never longer than the operator allows.

import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Role } from "../../gen/codygateway/v1/completions_pb.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { openStream } from "../helpers/open-stream.js";
import { rawConnect } from "../helpers/raw-http.js";

let gw: TestGateway;
/** Its operator allows no exchange more than a second and a half. */
let strict: TestGateway;
beforeAll(async () => {
  gw = await testGateway({ actor: { limits: { chat_completions: [{ limit: 1000, per: "24h" }, { inFlight: 50 }] } } });
  strict = await testGateway({ env: { CODY_GATEWAY_UPSTREAM_TOTAL_TIMEOUT: "1500ms" } });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await strict[Symbol.asyncDispose]();
});
beforeEach(() => {
  gw.reset();
  strict.reset();
});

const chat = (content: string, stream: boolean): string =>
  JSON.stringify({ model: "gpt-4o", stream, messages: [{ role: "user", content }] });

const sdkPath = "/openai/v1/chat/completions";
const instancePath = "/v1/completions/openai";

function init(body: string, headers: Record<string, string>): RequestInit {
  const common = { authorization: `Bearer ${token}`, "x-sourcegraph-feature": "chat_completions" };
  return { method: "POST", headers: { ...common, ...headers }, body };
}

/** Every way to call by RPC, and how its caller says how long it waits: the header, one that says `ms`, one for ever. */
const rpcs = [
  ["connect", "connect-timeout-ms", (ms: number) => String(ms), "9999999999"],
  ["grpc", "grpc-timeout", (ms: number) => `${ms}m`, "99999999H"],
  ["grpc-web", "grpc-timeout", (ms: number) => `${ms}m`, "99999999H"],
] as const;

type Protocol = (typeof rpcs)[number][0];

function complete(to: TestGateway, protocol: Protocol, content: string, headers: Record<string, string>) {
  const messages = [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: content } }] }];
  const request = { model: "openai/gpt-4o", input: { case: "chat" as const, value: { messages } } };
  // No deadline of the client's own: it would leave before it is told.
  return to.client({ protocol }).completions.complete(request, { headers });
}

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  return error?.code;
}

async function usage(): Promise<object> {
  const { features } = await gw.client().limits.getLimits({});
  return { used: features[0]?.rateLimit?.used, inFlight: features[0]?.inFlight };
}

let calls = 0;

/** Its upstream is aborted, and its event says why it ended. */
async function runsOut(to: TestGateway, call: (prompt: string, id: string) => Promise<void>): Promise<void> {
  const id = `call-${++calls}`;
  const prompt = `This is ${id}. [[delay=60000]]`;
  const calling = call(prompt, id);
  await (await to.upstream.waitFor(({ body }) => body.includes(prompt))).aborted;
  await calling;
  const event = await to.event((each) => each.id.startsWith(`${id}.`));
  expect(event).toMatchObject({ outcome: "failed", reason: "DEADLINE_EXCEEDED", charged: false });
}

function runsOutByRpc(to: TestGateway, protocol: Protocol, headers: Record<string, string>): Promise<void> {
  return runsOut(to, async (prompt, id) => {
    const call = complete(to, protocol, prompt, { ...headers, "x-request-id": id });
    expect(await codeOf(call)).toBe(Code.DeadlineExceeded);
  });
}

function runsOutByHttp(to: TestGateway, path: string, headers: Record<string, string>, stream: boolean): Promise<void> {
  return runsOut(to, async (prompt, id) => {
    const answer = await fetch(to.url + path, init(chat(prompt, stream), { ...headers, "x-request-id": id }));
    expect(answer.status).toBe(504);
    expect(await answer.text()).toContain("request to upstream provider openai timed out");
  });
}

describe("a deadline", () => {
  it("ends call and upstream, in whichever words", async () => {
    await Promise.all([
      ...rpcs.map(([protocol, header, write]) => runsOutByRpc(gw, protocol, { [header]: write(1500) })),
      ...(
        [
          [sdkPath, { "x-timeout-ms": "1500" }, false],
          [sdkPath, { "x-timeout-ms": "1500" }, true],
          [sdkPath, { "x-stainless-timeout": "1.5" }, false],
          [sdkPath, { "x-stainless-timeout": "1.5" }, true],
          [instancePath, { "x-timeout-ms": "1500" }, false],
          [instancePath, { "x-timeout-ms": "1500" }, true],
        ] as const
      ).map(([path, headers, stream]) => runsOutByHttp(gw, path, headers, stream)),
    ]);
  });

  it("of an SDK is over once its stream has begun: it reads on, however long that takes", async () => {
    gw.upstream.holdAll();
    const opening = openStream(gw.url + sdkPath, init(chat("hello", true), { "x-stainless-timeout": "2" }));
    const call = await gw.upstream.nextCall();
    await call.say("still here");
    const stream = await opening;
    await stream.until((received) => received.includes("still here"));
    await sleep(2_100);
    await call.finish();
    expect(await stream.ended).toBe("clean");
    expect(await gw.event()).toMatchObject({ outcome: "completed" });
  });

  it.each(rpcs)("of %s that has passed on arrival costs nobody anything", async (protocol, header, write) => {
    const before = await usage();
    expect(await codeOf(complete(gw, protocol, "hello", { [header]: write(0) }))).toBe(Code.DeadlineExceeded);
    expect(await gw.event()).toMatchObject({ outcome: "refused", reason: "DEADLINE_EXCEEDED", charged: false });
    expect(gw.upstream.calls).toEqual([]);
    expect(await usage()).toEqual(before);
  });

  it.each([
    [sdkPath, "X-Timeout-Ms: 20"],
    [sdkPath, "X-Stainless-Timeout: 0.02"],
    [instancePath, "X-Timeout-Ms: 20"],
  ])("of %s, %s, that passes while the body is sent costs nobody anything", async (path, header) => {
    const body = chat("hello", false);
    const connection = await rawConnect(gw.gateway.port);
    const head = [`POST ${path} HTTP/1.1`, "Host: gateway", `Authorization: Bearer ${token}`, header];
    const more = ["X-Sourcegraph-Feature: chat_completions", `Content-Length: ${body.length}`];
    connection.send(`${[...head, ...more].join("\r\n")}\r\n\r\n${body.slice(0, 1)}`);
    await sleep(100);
    connection.send(body.slice(1));
    expect((await connection.reply())?.status).toBe(504);
    connection.destroy();
    expect(await gw.event()).toMatchObject({ outcome: "refused", reason: "DEADLINE_EXCEEDED", charged: false });
    expect(gw.upstream.calls).toEqual([]);
  });

  it.each(rpcs)("of %s may be as far off as can be said", async (protocol, header, _write, forEver) => {
    expect((await complete(gw, protocol, "hello", { [header]: forEver })).stopReason).toBeGreaterThan(0);
  });

  it("is at most what the operator allows", async () => {
    await Promise.all([
      ...rpcs.map(([protocol, header, _write, forEver]) => runsOutByRpc(strict, protocol, { [header]: forEver })),
      runsOutByHttp(strict, sdkPath, { "x-timeout-ms": "86400000" }, false),
      runsOutByHttp(strict, sdkPath, { "x-stainless-timeout": "86400" }, false),
      runsOutByHttp(strict, instancePath, { "x-timeout-ms": "86400000" }, false),
    ]);
  });
});
