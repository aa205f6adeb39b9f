// How long callers want to wait: heard in whichever words they say it, and never longer than the operator allows.

import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Role } from "../../gen/codygateway/v1/completions_pb.js";
import type { DemoCall } from "../../src/demo/call.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { type OpenStream, openStream } from "../helpers/open-stream.js";
import { rawConnect } from "../helpers/raw-http.js";

let gw: TestGateway;
/** Its operator allows no exchange more than a minute. */
let strict: TestGateway;
beforeAll(async () => {
  gw = await testGateway({ actor: { limits: { chat_completions: [{ limit: 1000, per: "24h" }, { inFlight: 50 }] } } });
  strict = await testGateway({ env: { CODY_GATEWAY_UPSTREAM_TOTAL_TIMEOUT: "1m" } });
});
afterAll(async () => {
  vi.restoreAllMocks();
  await gw[Symbol.asyncDispose]();
  await strict[Symbol.asyncDispose]();
});
beforeEach(() => {
  // All of it but the time: events of requests for which time passes are dated back.
  for (const to of [gw, strict]) {
    to.upstream.reset();
    to.events.length = 0;
  }
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

const now = performance.now.bind(performance);
let passedMs = 0;

/** So much time passes at once, for gateways. Machines that are busy do not run out of it before. */
function pass(ms: number): void {
  passedMs += ms;
  vi.spyOn(performance, "now").mockImplementation(() => now() + passedMs);
}

/** Time passes when all calls have reached their upstream. Then that is aborted, and the event says why. */
async function runOut(to: TestGateway, ms: number, asked: readonly Calling[]): Promise<void> {
  const under = asked.map((call) => {
    const id = `call-${++calls}`;
    const prompt = `This is ${id}. [[delay=600000]]`;
    return { id, prompt, calling: call(prompt, id) };
  });
  const sent = under.map(({ prompt }) => to.upstream.waitFor(({ body }) => body.includes(prompt), 60_000));
  await Promise.all(sent);
  pass(ms);
  await Promise.all(under.map(({ calling }, at) => overBy(calling, sent[at])));
  for (const { id } of under) await ranOut(to, id);
}

async function overBy(calling: Promise<void>, sent: Promise<DemoCall> | undefined): Promise<void> {
  await (await sent)?.aborted;
  await calling;
}

async function ranOut(to: TestGateway, id: string): Promise<void> {
  const event = await to.event((each) => each.id.startsWith(`${id}.`));
  expect(event).toMatchObject({ outcome: "failed", reason: "DEADLINE_EXCEEDED", charged: false });
}

/** Makes a call that is to run out of time. */
type Calling = (prompt: string, id: string) => Promise<void>;

function byRpc(to: TestGateway, protocol: Protocol, headers: Record<string, string>): Calling {
  return async (prompt, id) => {
    const call = complete(to, protocol, prompt, { ...headers, "x-request-id": id });
    expect(await codeOf(call)).toBe(Code.DeadlineExceeded);
  };
}

function byHttp(to: TestGateway, path: string, headers: Record<string, string>, stream: boolean): Calling {
  return async (prompt, id) => {
    const answer = await fetch(to.url + path, init(chat(prompt, stream), { ...headers, "x-request-id": id }));
    expect(answer.status).toBe(504);
    expect(await answer.text()).toContain("request to upstream provider openai timed out");
  };
}

describe("a deadline", () => {
  it("ends call and upstream, in whichever words", () =>
    runOut(gw, 50_000, [
      ...rpcs.map(([protocol, header, write]) => byRpc(gw, protocol, { [header]: write(50_000) })),
      ...[true, false].flatMap((stream) => [
        byHttp(gw, sdkPath, { "x-timeout-ms": "50000" }, stream),
        byHttp(gw, sdkPath, { "x-stainless-timeout": "50" }, stream),
        byHttp(gw, instancePath, { "x-timeout-ms": "50000" }, stream),
      ]),
    ]));

  it("of an SDK is over once its stream has begun: it reads on, however long that takes", async () => {
    gw.upstream.holdAll();
    const open = (headers: Record<string, string>, prompt: string) =>
      openStream(gw.url + sdkPath, init(chat(prompt, true), headers));
    const begun = async (opening: Promise<OpenStream>, prompt: string): Promise<[OpenStream, DemoCall]> => {
      const call = await gw.upstream.waitFor(({ body }) => body.includes(prompt), 60_000);
      await call.say("still here");
      const stream = await opening;
      await stream.until((received) => received.includes("still here"));
      return [stream, call];
    };
    const [stream, call] = await begun(open({ "x-stainless-timeout": "50" }, "patient"), "patient");
    const [other] = await begun(open({ "x-timeout-ms": "50000" }, "hasty"), "hasty");
    pass(50_000);
    // Whose time is for all of the answer, is looked at when the first one is.
    expect(await other.ended).toBe("broken");
    await call.finish();
    expect(await stream.ended).toBe("clean");
    for (const expected of ["completed", "failed"])
      expect(await gw.event(({ outcome }) => outcome === expected)).toBeDefined();
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
    connection.send(`${[...head, ...more, "Expect: 100-continue"].join("\r\n")}\r\n\r\n${body.slice(0, 1)}`);
    // From here on the time runs.
    await expect.poll(() => connection.received).toContain("100 Continue");
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

  it("is at most what the operator allows", () =>
    runOut(strict, 60_000, [
      ...rpcs.map(([protocol, header, _write, forEver]) => byRpc(strict, protocol, { [header]: forEver })),
      byHttp(strict, sdkPath, { "x-timeout-ms": "86400000" }, false),
      byHttp(strict, sdkPath, { "x-stainless-timeout": "86400" }, false),
      byHttp(strict, instancePath, { "x-timeout-ms": "86400000" }, false),
    ]));
});
