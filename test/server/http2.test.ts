import { constants, type OutgoingHttpHeaders } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import {
  flag,
  frame,
  headerBlock,
  headers,
  ping,
  pong,
  preface,
  requestFields,
  settings,
  settingsAck,
  type,
  windowUpdate,
} from "../helpers/h2-frames.js";
import { client, isReset, raw, request } from "./http2-client.js";
import { serve, soonMs } from "./serve.js";

describe("an HTTP/2 connection", () => {
  it("is told the limits", async () => {
    await using served = await serve();
    const connection = await raw(served);
    const told = await connection.next((each) => each.type === type.settings && !(each.flags & flag.ack));
    const pairs = new Map<number, number>();
    for (let at = 0; at < (told?.payload.length ?? 0); at += 6) {
      pairs.set(told?.payload.readUInt16BE(at) as number, told?.payload.readUInt32BE(at + 2) as number);
    }
    expect(pairs).toEqual(
      new Map([
        [2, 0],
        [3, 100],
        [4, 65_535],
        [6, 16_384],
      ]),
    );
    const update = await connection.next((each) => each.type === type.windowUpdate && each.stream === 0);
    expect((update?.payload.readUInt32BE() ?? 0) + 65_535).toBe(1024 * 1024);
  });

  it("that makes no request is closed", async () => {
    await using served = await serve({ limits: { headMs: 150 } });
    const silent = await raw(served);
    const pinging = await raw(served);
    const timer = setInterval(() => pinging.send(ping()), 30);
    const times = await Promise.all([silent.ended, pinging.ended]);
    clearInterval(timer);
    expect(Math.max(...times)).toBeLessThan(soonMs);
    expect(served.cut).toEqual(["session_unused", "session_unused"]);
    expect(silent.frames.some((each) => each.type === type.goaway)).toBe(true);
  });

  it("that only sends the preface is closed", async () => {
    await using served = await serve({ limits: { headMs: 150 } });
    expect(await (await raw(served, [preface])).ended).toBeLessThan(soonMs);
  });

  it.each([
    ["half a header block", [headers(1, requestFields(), flag.endStream)]],
    ["half a frame", [headers(1).subarray(0, 20)]],
    ["half a frame header", [headers(1).subarray(0, 5)]],
  ])("whose first request is %s is closed", async (_, bytes) => {
    await using served = await serve({ limits: { headMs: 150, lingerMs: 100 } });
    const connection = await raw(served, [preface, settings(), settingsAck, ...bytes]);
    expect(await connection.ended).toBeLessThan(soonMs);
    expect(served.seen).toEqual([]);
  });

  it.each([
    ["stops within", false],
    ["crawls through", true],
  ])("that %s a header block after its first request is closed", async (_, crawls) => {
    await using served = await serve({ limits: { headMs: 150, lingerMs: 100 } });
    const connection = await raw(served, [preface, settings(), settingsAck, headers(1)]);
    await connection.next((each) => each.stream === 1 && (each.flags & flag.endStream) !== 0);
    connection.send(headers(3, requestFields(), flag.endStream));
    const rest = frame(type.continuation, flag.endHeaders, 3, headerBlock([["x-a", "a".repeat(1000)]]));
    let at = 0;
    const timer = setInterval(() => {
      if (crawls) connection.send(rest.subarray(at, ++at));
    }, 20);
    await connection.ended;
    clearInterval(timer);
    expect(served.cut).toEqual(["session_dead"]);
    expect(served.seen).toEqual(["GET /"]);
  });

  it("ends when its peer closes its side, with the streams that run on it", async () => {
    let left = 0;
    await using served = await serve({ http: (_req, res) => void res.on("close", () => left++) });
    const connection = await raw(served, [preface, settings(), settingsAck, headers(1)]);
    await expect.poll(() => served.listener.requests).toBe(1);
    connection.socket.end();
    await connection.ended;
    await expect.poll(() => [left, served.listener.requests, served.listener.connections]).toEqual([1, 0, 0]);
  });

  it("without streams is closed in the end, and told to go", async () => {
    await using served = await serve({ limits: { sessionIdleMs: 200, lingerMs: 100 } });
    const connection = await raw(served, [preface, settings(), settingsAck, headers(1)]);
    connection.send(pong(await connection.next((each) => each.type === type.ping)));
    const goaway = await connection.next((each) => each.type === type.goaway);
    // It does not close its side: the server does not wait for that.
    expect(goaway?.payload.readUInt32BE(4)).toBe(constants.NGHTTP2_NO_ERROR);
    await connection.ended;
    expect(served.cut).toEqual(["session_idle"]);
    await expect.poll(() => served.listener.connections).toBe(0);
  });

  it("that answers no ping is closed, one that does lives", async () => {
    await using served = await serve({ limits: { pingEveryMs: 100, pingAckMs: 150, headMs: 2000 } });
    const mute = await raw(served, [preface, settings(), settingsAck, headers(1)]);
    const lively = client(served);
    await request(lively, { ":path": "/a" });
    await mute.ended;
    expect(served.cut).toEqual(["session_dead"]);
    expect(mute.frames.filter((each) => each.type === type.ping)).not.toEqual([]);
    await pause(300);
    expect(await request(lively, { ":path": "/b" })).toMatchObject({ status: 200 });
  });
});

const authorities = [
  "[",
  "[]",
  "a:b:c",
  "a:",
  ":80",
  "a b",
  "a/b",
  "a@b",
  "a%zz",
  "1.2.3.4.5",
  "a:99999",
  "..",
  "a,b",
  "é",
  "{}",
];
const paths = [
  "*",
  "//evil.test",
  "/\\evil",
  "/a/../b",
  "/%2e%2e/",
  "/a%2fb",
  "/%zz",
  "http://evil.test/",
  "x",
  "/a#b",
  "/a%00",
];

describe("an HTTP/2 request", () => {
  it.each([
    ...authorities.map((authority) => ({ ":authority": authority })),
    ...paths.map((path) => ({ ":path": path })),
    { ":method": "POST", ":path": "/rpc", ":authority": "[" },
    { ":authority": "gateway.test", host: "other.test" },
  ] as OutgoingHttpHeaders[])("with %j is refused, and the next one served", async (fields) => {
    await using served = await serve({ isRpc: (path) => path === "/rpc" });
    const session = client(served);
    const answer = await request(session, { ":path": "/", ...fields });
    expect(answer.status ?? 400).toBe(400);
    if (answer.status) expect(JSON.parse(answer.body)).toEqual({ error: expect.any(String) });
    expect(await request(session, { ":path": "/next" })).toMatchObject({ status: 200 });
    expect(served.seen).toEqual(["GET /next"]);
  });

  it.each([
    ["TRACE", 405],
    ["PROPFIND", 405],
    ["BREW", 405],
  ])("with method %s is refused", async (method, status) => {
    await using served = await serve();
    const answer = await request(client(served), { ":path": "/", ":method": method });
    expect(answer).toMatchObject({ status, headers: { allow: "GET, HEAD, POST, OPTIONS" } });
  });

  it("with CONNECT is refused", async () => {
    await using served = await serve();
    expect(await request(client(served), { ":method": "CONNECT", ":authority": "evil.test:80" })).toMatchObject({
      status: 405,
    });
  });

  it.each([
    ["authorization", "Bearer b"],
    ["content-type", "a/b"],
    ["x-api-key", "b"],
    ["content-encoding", "gzip"],
  ])("with two of %s is refused", async (name, value) => {
    await using served = await serve();
    const fields: [string, string][] = [...requestFields(), [name, value], [name, value]];
    const connection = await raw(served, [preface, settings(), settingsAck, headers(1, fields)]);
    const answer = await connection.next((each) => each.stream === 1);
    expect(answer?.payload.includes(0x8c) || answer?.type === type.reset).toBe(true);
    expect(served.seen).toEqual([]);
  });

  it.each([
    ["100 headers", 100, 16, 200],
    ["101 headers", 101, 16, undefined],
    ["1000 headers", 1000, 3, undefined],
  ])("with %s", async (_, count, length, status) => {
    await using served = await serve();
    const session = client(served);
    const fields = Object.fromEntries(
      Array.from({ length: count }, (_none, index) => [
        `x-${index}`.padEnd(6, "a"),
        "v".repeat(Math.max(1, length - 6)),
      ]),
    );
    const answer = await request(session, { ":path": "/", ...fields });
    if (status) expect(answer.status).toBe(status);
    else expect(answer.status === 431 || answer.code !== 0).toBe(true);
    // Such a head may cost its session; the server goes on.
    const next = status ? session : client(served);
    expect(await request(next, { ":path": "/next" })).toMatchObject({ status: 200 });
    expect(served.seen).toEqual(status ? ["GET /", "GET /next"] : ["GET /next"]);
  });

  it("with a head of 20 KiB is refused", async () => {
    await using served = await serve();
    const block = headerBlock([...requestFields(), ["x-a", "a".repeat(20_000)]]);
    const connection = await raw(served, [
      preface,
      settings(),
      settingsAck,
      frame(type.headers, flag.endStream, 1, block.subarray(0, 10_000)),
      frame(type.continuation, flag.endHeaders, 1, block.subarray(10_000)),
    ]);
    expect((await connection.next(isReset(1)))?.payload.readUInt32BE()).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    expect(served.seen).toEqual([]);
  });

  it.each([
    ["a NUL", "a\0b"],
    ["a line feed", "a\nb"],
    ["CRLF", "a\r\nhost: b"],
  ])("loses a header whose value has %s", async (_, value) => {
    await using served = await serve({ http: (req, res) => void res.end(JSON.stringify(req.rawHeaders)) });
    const connection = await raw(served, [
      preface,
      settings(),
      settingsAck,
      headers(1, [...requestFields(), ["authorization", value]]),
    ]);
    const answer = await connection.next((each) => each.type === type.data);
    expect(answer?.payload.toString()).not.toContain("authorization");
  });

  it("waits for 100 Continue and gets it", async () => {
    await using served = await serve();
    const session = client(served);
    const stream = session.request({ ":path": "/", ":method": "POST", expect: "100-continue" });
    await new Promise<void>((resolve) => stream.once("continue", resolve));
    stream.end("hi");
    const body = await new Promise<string>((resolve) => stream.once("data", (chunk) => resolve(String(chunk))));
    expect(JSON.parse(body)).toMatchObject({ body: "hi" });
    expect(await request(session, { ":path": "/", ":method": "POST", expect: "tea" }, "x")).toMatchObject({
      status: 417,
    });
  });

  it("must send its body in time", async () => {
    await using served = await serve({ limits: { bodyMs: 150, lingerMs: 100 } });
    const session = client(served);
    const stream = session.request({ ":path": "/", ":method": "POST" });
    stream.write("abc");
    const status = await new Promise((resolve) => stream.once("response", (response) => resolve(response[":status"])));
    expect(status).toBe(408);
    await new Promise((resolve) => stream.once("close", resolve).resume());
    await expect.poll(() => served.listener.requests).toBe(0);
    expect(await request(session, { ":path": "/next" })).toMatchObject({ status: 200 });
  });

  it("may bring a large body in one go, long after its head", async () => {
    await using served = await serve({ limits: { sweepMs: 100, maxControlBytesPerSecond: 10_000 } });
    const session = client(served);
    const stream = session.request({ ":path": "/", ":method": "POST" }).resume();
    await expect.poll(() => served.listener.requests).toBe(1);
    await pause(250);
    stream.end(Buffer.alloc(60_000));
    expect(await new Promise((resolve) => stream.once("response", (fields) => resolve(fields[":status"])))).toBe(200);
    await pause(250);
    expect(served.cut).toEqual([]);
  });

  it.each(["GET", "HEAD", "POST"])("that is cancelled is over, and its handler told: %s", async (method) => {
    let told = 0;
    await using served = await serve({ http: (_req, res) => void res.on("close", () => told++) });
    const stream = client(served).request({ ":path": "/", ":method": method }, { endStream: true });
    stream.on("error", () => {});
    await expect.poll(() => served.listener.requests).toBe(1);
    stream.close(constants.NGHTTP2_CANCEL);
    await expect.poll(() => [told, served.listener.requests]).toEqual([1, 0]);
  });

  it("has an end to its time, however fast its body comes", async () => {
    await using served = await serve({ limits: { bodyMs: 50, bodyMaxMs: 200, minBytesPerSecond: 1 } });
    const stream = client(served).request({ ":path": "/", ":method": "POST" }).resume();
    const timer = setInterval(() => stream.write("a".repeat(1000)), 20);
    const status = await new Promise((resolve) => stream.once("response", (response) => resolve(response[":status"])));
    clearInterval(timer);
    expect(status).toBe(408);
  });

  it("is not waited for when it was answered early", async () => {
    await using served = await serve({ http: (_req, res) => void res.writeHead(413).end(), limits: { lingerMs: 100 } });
    const session = client(served);
    const stream = session.request({ ":path": "/", ":method": "POST" });
    stream.write("abc");
    stream.resume();
    await new Promise((resolve) => stream.once("close", resolve));
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    await expect.poll(() => served.listener.requests).toBe(0);
  });
});

it("serves other requests beside a large answer that is being read", async () => {
  const large = Buffer.alloc(16 * 1024 * 1024);
  await using served = await serve({ http: (req, res) => void res.end(req.url === "/large" ? large : "ok") });
  const session = client(served);
  const reading = session.request({ ":path": "/large" });
  await new Promise((resolve) => reading.once("response", resolve));
  for (let i = 0; i < 30; i++) expect(await request(session, { ":path": "/a" })).toMatchObject({ status: 200 });
  let bytes = 0;
  reading.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await new Promise((resolve) => reading.once("close", resolve));
  expect(bytes).toBe(large.length);
});

it("takes nobody for a flood who reads a large answer as fast as it comes", async () => {
  const large = Buffer.alloc(16 * 1024 * 1024);
  await using served = await serve({
    http: (_req, res) => void res.end(large),
    limits: { maxControlBytesPerSecond: 10_000 },
  });
  const reading = client(served).request({ ":path": "/" });
  let bytes = 0;
  reading.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await new Promise((resolve) => reading.once("close", resolve));
  expect([bytes, served.cut]).toEqual([large.length, []]);
});

describe("an HTTP/2 response that nobody reads", () => {
  it("is reset, and the other streams of its connection go on", async () => {
    let left = 0;
    await using served = await serve({
      http(req, res) {
        if (req.url !== "/flood") {
          res.end("ok");
          return;
        }
        const pump = (): void => {
          while (!res.destroyed && res.write(Buffer.alloc(16_384)));
          res.once("drain", pump);
        };
        res.on("close", () => left++);
        pump();
      },
      limits: { writeStallMs: 200 },
    });
    const session = client(served);
    const stalled = session.request({ ":path": "/flood" });
    stalled.on("error", () => {});
    const timer = setInterval(() => void request(session, { ":path": "/a" }), 30);
    const code = await new Promise((resolve) => stalled.once("close", () => resolve(stalled.rstCode)).pause());
    clearInterval(timer);
    expect(code).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    expect(served.cut).toEqual(["write_stall"]);
    await expect.poll(() => left).toBe(1);
    expect(await request(session, { ":path": "/b" })).toMatchObject({ status: 200, body: "ok" });
  });

  it("is destroyed even when nothing can be sent to its connection", async () => {
    let left = 0;
    await using served = await serve({
      http(_req, res) {
        const pump = (): void => {
          while (!res.destroyed && res.write(Buffer.alloc(65_536)));
          res.once("drain", pump);
        };
        res.on("close", () => left++);
        pump();
      },
      limits: { writeStallMs: 200, pingEveryMs: 60_000 },
    });
    const connection = await raw(served, []);
    connection.socket.pause();
    connection.send(preface, settings([4, 0x7fffffff]), settingsAck, windowUpdate(0, 0x7fff0000 - 65_535), headers(1));
    await served.untilCut("write_stall");
    await expect.poll(() => [left, served.listener.requests]).toEqual([1, 0]);
  });

  it("is left alone while its chunks, all alike, are read one by one", async () => {
    await using served = await serve({
      http(_req, res) {
        let chunks = 40;
        const pump = (): void => {
          while (chunks > 0) {
            chunks--;
            if (!res.write(Buffer.alloc(65_535))) break;
          }
          if (chunks > 0) res.once("drain", pump);
          else res.end();
        };
        pump();
      },
      limits: { writeStallMs: 200 },
    });
    const stream = client(served).request({ ":path": "/" });
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      stream.pause();
      setTimeout(() => stream.resume(), 4);
    });
    await new Promise((resolve) => stream.once("close", resolve));
    expect([bytes, stream.rstCode]).toEqual([40 * 65_535, 0]);
  });

  it("is left alone while it is read slowly", async () => {
    const size = 600_000;
    await using served = await serve({
      http: (_req, res) => void res.end(Buffer.alloc(size)),
      limits: { writeStallMs: 200 },
    });
    const stream = client(served).request({ ":path": "/" });
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      stream.pause();
      setTimeout(() => stream.resume(), 15);
    });
    await new Promise((resolve) => stream.once("close", resolve));
    expect([bytes, stream.rstCode]).toEqual([size, 0]);
  });
});
