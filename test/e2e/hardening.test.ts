// The whole gateway under hostile and careless callers, and at its end.

import { createConnection } from "node:net";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";
import { head, rawConnect, rawRequest } from "../helpers/raw-http.js";

const paths = [
  "/codygateway.v1.CompletionsService/Complete",
  "/codygateway.v1.CompletionsService/StreamComplete",
  "/codygateway.v1.LimitsService/GetLimits",
  "/grpc.health.v1.Health/Check",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/v1/completions/anthropic-messages",
  "/openai/v1/chat/completions",
  "/v1/limits",
  "/metrics",
  "/nothing/here",
];

const hosts = ["[", "a:b:c", "", "a b", "http://a", "[::1"];

describe("the connection of who is refused", () => {
  const refused = (line: string, more: readonly string[] = [], body = ""): string =>
    head(`${line} HTTP/1.1`, ["Authorization: Bearer of-nobody-at-all", ...more], body);
  const post = (length: number, sent: string, more: readonly string[] = []): string =>
    refused("POST /v1/completions/openai", [`Content-Length: ${length}`, ...more], sent);
  const gzipped = gzipSync("x".repeat(40_000_000)).toString("latin1");

  it.each([
    ["without a body", refused("GET /v1/limits"), ""],
    ["with a body", post(4, "body"), ""],
    ["with a body that comes later", post(9, "body"), "later"],
    ["with 64 KiB that come later", post(65_536, ""), "x".repeat(65_536)],
  ])("goes on %s", async (_, request, later) => {
    await using gw = await testGateway();
    const connection = await rawConnect(gw.gateway.port);
    for (let round = 0; round < 2; round++) {
      connection.send(request);
      const reply = await connection.reply();
      expect(reply?.status).toBe(401);
      expect(reply?.headers.connection).not.toBe("close");
      connection.send(later);
    }
    connection.send(head("GET /v1/limits HTTP/1.1", [`Authorization: Bearer ${token}`]));
    expect((await connection.reply())?.status).toBe(200);
    connection.destroy();
  });

  it.each([
    ["much is still to come", post(65_537, "")],
    [
      "an endless body is under way",
      refused("POST /openai/v1/chat/completions", ["Transfer-Encoding: chunked"], "1\r\nx\r\n"),
    ],
  ])("is closed where %s", async (_, request) => {
    await using gw = await testGateway();
    const connection = await rawConnect(gw.gateway.port);
    connection.send(request);
    expect(await connection.reply()).toMatchObject({ status: 401, headers: { connection: "close" } });
    connection.socket.end();
    await connection.ended;
  });

  it("goes on behind a packed body that is given up half-way", async () => {
    await using gw = await testGateway({ env: { CODY_GATEWAY_MAX_BODY_BYTES: "1000000" } });
    const connection = await rawConnect(gw.gateway.port);
    const headers = [
      `Authorization: Bearer ${token}`,
      "X-Sourcegraph-Feature: chat_completions",
      "Content-Encoding: gzip",
      `Content-Length: ${gzipped.length}`,
    ];
    for (let round = 0; round < 2; round++) {
      connection.send(head("POST /v1/completions/openai HTTP/1.1", headers, gzipped));
      const reply = await connection.reply();
      expect(reply?.status).toBe(413);
      expect(reply?.headers.connection).not.toBe("close");
    }
    connection.destroy();
  });
});

describe("malformed requests", () => {
  it("are answered 4xx on every path, and the gateway goes on", async () => {
    await using gw = await testGateway();
    const { port } = gw.gateway;
    for (const path of paths) {
      for (const host of hosts) {
        for (const version of ["1.0", "1.1"]) {
          const headers = [`Host: ${host}`, "Content-Type: application/json", "Content-Length: 2"];
          const reply = await rawRequest(port, head(`POST ${path} HTTP/${version}`, headers, "{}"));
          expect(reply?.status, `${path} ${host} ${version}`).toBeGreaterThanOrEqual(400);
          expect(reply?.status, `${path} ${host} ${version}`).toBeLessThan(500);
        }
      }
    }
    expect(gw.upstream.calls).toHaveLength(0);
    expect((await ask(gw)).status).toBe(200);
  });

  it("with names out of Object.prototype in headers, models and keys harm nobody", async () => {
    await using gw = await testGateway();
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      const body = `{"model":"${name}","messages":[{"role":"user","content":"hi"}],"${name}":{"polluted":true}}`;
      const answer = await ask(gw, body, { "x-sourcegraph-feature": name });
      expect(answer.status).toBe(400);
      expect((await ask(gw, body)).status).toBe(400);
    }
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect((await ask(gw)).status).toBe(200);
  });
});

describe("request bodies", () => {
  it("may be gzip, within the cap on what they unpack to", async () => {
    await using gw = await testGateway({ env: { CODY_GATEWAY_MAX_BODY_BYTES: "100000" } });
    const gzip = { "content-encoding": "gzip" };
    expect((await ask(gw, gzipSync(chat("hello")), gzip)).status).toBe(200);
    expect(gw.upstream.calls[0]?.json).toEqual(JSON.parse(chat("hello")));
    const bomb = gzipSync(Buffer.alloc(50_000_000, " "));
    expect((await ask(gw, bomb, gzip)).status).toBe(413);
    expect((await ask(gw, Buffer.from("no gzip"), gzip)).status).toBe(400);
    expect((await ask(gw, chat("x".repeat(200_000)))).status).toBe(413);
    expect((await ask(gw, chat("hello"), { "content-encoding": "br" })).status).toBe(415);
    expect((await ask(gw)).status).toBe(200);
  });
});

describe("secrets", () => {
  it("stand in no log line, metric, event or error body", async () => {
    const log = recordingLog();
    await using gw = await testGateway({ log, env: { ANTHROPIC_API_KEY: "canary-upstream-key-1" } });
    const told: string[] = [];
    const anthropic = (content: string) =>
      fetch(`${gw.url}/anthropic/v1/messages`, {
        method: "POST",
        headers: { "x-api-key": token },
        body: JSON.stringify({ model: "claude-sonnet-4-5", max_tokens: 9, messages: [{ role: "user", content }] }),
      });
    for (const directive of [
      "",
      "[[status=401]]",
      "[[status=500]]",
      "[[die after=0]]",
      "[[redirect=http://127.0.0.1:9/]]",
    ]) {
      const answer = await anthropic(`canary-prompt-1 ${directive}`);
      const text = await answer.text();
      if (answer.status !== 200) told.push(text);
    }
    for (const bad of ["canary-token-unknown-1", "canary token unknown"]) {
      const answer = await fetch(`${gw.url}/v1/limits`, { headers: { authorization: `Bearer ${bad}` } });
      told.push(await answer.text());
    }
    told.push(
      await (await fetch(`${gw.url}/v1/limits`, { headers: { authorization: "canary-token-unknown-1" } })).text(),
    );
    await gw.event(() => gw.events.length === 5);
    told.push(
      await (await fetch(`${gw.url}/metrics`)).text(),
      JSON.stringify(gw.events),
      JSON.stringify(log.lines, errors),
    );
    expect(log.lines.length).toBeGreaterThan(5);
    for (const text of told) {
      for (const canary of [token, "canary-upstream-key-1", "canary-prompt-1", "canary-token-unknown-1"])
        expect(text).not.toContain(canary);
    }
  });
});

describe("the end", () => {
  it("lets a stream finish, and refuses new requests meanwhile", async () => {
    const gw = await testGateway();
    gw.upstream.holdAll();
    const answer = ask(gw, chat("hello", true));
    const call = await gw.upstream.nextCall();
    await call.begin();
    const drained = gw.gateway.drain({ delayMs: 0, timeoutMs: 10_000 });
    while (await accepts(gw.gateway.port));
    await call.say("goodbye");
    await call.finish();
    expect(await (await answer).text()).toContain("goodbye");
    expect(await drained).toBe("clean");
    expect(gw.events).toMatchObject([{ outcome: "completed" }]);
    await gw.upstream.close();
  });

  it("tells a stream that outlives its time that it was cut, and delivers its event", async () => {
    const gw = await testGateway();
    const answer = await ask(gw, chat("hello [[stall after=2]]", true));
    const read = answer.text();
    const cut = expect(read).rejects.toThrow();
    expect(await gw.gateway.drain({ delayMs: 0, timeoutMs: 50 })).toBe("cut");
    await cut;
    expect(gw.events).toMatchObject([{ outcome: "failed", charged: true }]);
    await gw.upstream.close();
  });

  it("turns readiness off at once and serves on for the delay", async () => {
    const gw = await testGateway();
    const drained = gw.gateway.drain({ delayMs: 60_000, timeoutMs: 60_000 });
    expect((await fetch(`${gw.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${gw.url}/livez`)).status).toBe(200);
    expect((await ask(gw)).status).toBe(200);
    // The delay is over.
    void gw.gateway.drain({ delayMs: 0, timeoutMs: 10_000 });
    expect(await drained).toBe("clean");
    await gw.upstream.close();
  });
});

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function errors(_key: string, value: unknown): unknown {
  return value instanceof Error ? [value.message, value.stack, value.cause, Object.entries(value)] : value;
}

function chat(content: string, stream = false): string {
  return JSON.stringify({ model: "gpt-4o", stream, messages: [{ role: "user", content }] });
}

function ask(
  gw: TestGateway,
  body: string | Buffer = chat("hello"),
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${gw.url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body,
  });
}
