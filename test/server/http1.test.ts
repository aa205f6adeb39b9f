import { createHash, randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { head, rawConnect, rawRequest } from "../helpers/raw-http.js";
import { echo, type Serve, serve, soonMs } from "./serve.js";

/** Writes without end, as fast as it may, until the reader is gone. */
const flood: Serve = (_req, res) =>
  new Promise((resolve) => {
    const chunk = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (!res.destroyed && res.write(chunk));
      if (!res.destroyed) res.once("drain", pump);
    };
    res.on("close", resolve);
    pump();
  });

describe("the head of a request", () => {
  it("must arrive in time, the first and every other", async () => {
    await using served = await serve({ limits: { headMs: 200 } });
    const first = await rawConnect(served.port);
    first.send("GET /a HTTP/1.1\r\nHost: a");
    const second = await rawConnect(served.port);
    second.send(head("GET /a HTTP/1.1"));
    await second.reply();
    second.send("GET /b HTTP/1.1\r\nX-A: ");
    const crawl = setInterval(() => second.send("T"), 50);
    for (const connection of [first, second]) {
      expect(await connection.reply()).toMatchObject({ status: 408, headers: { connection: "close" } });
      expect(await connection.ended).toBeLessThan(soonMs);
    }
    clearInterval(crawl);
    expect(served.refused).toEqual(["head_timeout", "head_timeout"]);
  });

  it("may be as large as the limit, and no larger", async () => {
    await using served = await serve();
    const fits = await rawRequest(served.port, head("GET /a HTTP/1.1", [`X-A: ${"a".repeat(16_000)}`]));
    expect(fits?.status).toBe(200);
    const larger = await rawRequest(served.port, head("GET /a HTTP/1.1", [`X-A: ${"a".repeat(17_000)}`]));
    expect(larger?.status).toBe(431);
  });

  it("reaches the handler whole, whatever its Connection header names", async () => {
    await using served = await serve({
      http: (req, res) => void res.end(JSON.stringify([req.headers.authorization, req.headers["x-a"]])),
    });
    const headers = ["Connection: authorization, x-a", "Authorization: Bearer t", "X-A: 1"];
    const reply = await rawRequest(served.port, head("GET /a HTTP/1.1", headers));
    expect(JSON.parse(reply?.body ?? "")).toEqual(["Bearer t", "1"]);
  });

  it("may name headers after what objects inherit", async () => {
    await using served = await serve();
    const headers = ["__proto__: x", "__proto__: y", "constructor: x", "hasOwnProperty: x", "toString: x"];
    expect(await rawRequest(served.port, head("GET /a HTTP/1.1", headers))).toMatchObject({ status: 200 });
  });
});

describe("refusals that leave no doubt where the next request begins", () => {
  it.each([
    ["TRACE", head("TRACE /a HTTP/1.1"), 405],
    ["PROPFIND", head("PROPFIND /a HTTP/1.1", ["Content-Length: 3"], "abc"), 405],
    ["brotli", head("POST /a HTTP/1.1", ["Content-Encoding: br", "Content-Length: 3"], "abc"), 415],
    [
      "deflate",
      head("POST /a HTTP/1.1", ["Content-Encoding: deflate", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
      415,
    ],
  ])("keep the connection: %s", async (_, bytes, status) => {
    await using served = await serve();
    const connection = await rawConnect(served.port);
    connection.send(bytes);
    expect(await connection.reply()).toMatchObject({ status });
    connection.send(head("GET /next HTTP/1.1"));
    expect(await connection.reply()).toMatchObject({ status: 200 });
    expect(served.seen).toEqual(["GET /next"]);
    connection.destroy();
  });

  it("tell what is allowed", async () => {
    await using served = await serve();
    expect((await rawRequest(served.port, head("TRACE /a HTTP/1.1")))?.headers.allow).toBe("GET, HEAD, POST, OPTIONS");
    const encoded = head("POST /a HTTP/1.1", ["Content-Encoding: br", "Content-Length: 0"]);
    expect((await rawRequest(served.port, encoded))?.headers["accept-encoding"]).toBe("gzip, identity");
  });
});

describe("Expect and Upgrade", () => {
  it("says 100 Continue to what passes, and only to that", async () => {
    await using served = await serve();
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", ["Expect: 100-continue", "Content-Length: 2"]));
    await expect.poll(() => connection.received).toContain("HTTP/1.1 100 Continue\r\n\r\n");
    connection.send("hi");
    expect(JSON.parse((await connection.reply())?.body ?? "")).toMatchObject({ body: "hi" });
    connection.destroy();

    const refused = await rawConnect(served.port);
    refused.send(head("POST /a HTTP/1.1", ["Expect: 100-continue", "Content-Length: 2", "Host: ["]));
    expect(await refused.reply()).toMatchObject({ status: 400, headers: { connection: "close" } });
    expect(refused.received).not.toContain("100 Continue");
  });

  it("passes over an offer of h2c, as curl and Java make it", async () => {
    await using served = await serve();
    const offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"];
    const reply = await rawRequest(served.port, head("GET /a HTTP/1.1", offer));
    expect(reply).toMatchObject({ status: 200, headers: { connection: "close" } });
  });
});

describe("the body of a request", () => {
  it("ends the request when it comes behind its answer, once, and not at the next sweep", async () => {
    const refusing: Serve = (_req, res) => void res.writeHead(401, { "content-length": 2 }).end("no");
    await using served = await serve({ http: refusing, limits: { sweepMs: 3_600_000 } });
    const connection = await rawConnect(served.port);
    for (const { body, later } of [
      { body: "body", later: "" },
      { body: "bo", later: "dy" },
    ]) {
      connection.send(head("POST /a HTTP/1.1", ["Content-Length: 4"], body));
      expect((await connection.reply())?.status).toBe(401);
      if (later) expect(served.listener.requests).toBe(1);
      connection.send(later);
      await expect.poll(() => served.listener.requests).toBe(0);
    }
    expect(served.ended).toEqual(["/a 401", "/a 401"]);
    connection.destroy();
  });

  it("must arrive in time", async () => {
    await using served = await serve({ limits: { bodyMs: 150 } });
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", ["Content-Length: 100"], "abc"));
    expect(await connection.reply()).toMatchObject({ status: 408, headers: { connection: "close" } });
    await connection.ended;
    expect(served.refused).toEqual(["body_timeout"]);
    await expect.poll(() => served.listener.requests).toBe(0);
  });

  it("may take longer when it is large and comes along", async () => {
    await using served = await serve({ limits: { bodyMs: 150, minBytesPerSecond: 1000 } });
    const body = randomBytes(8000).toString("hex");
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", [`Content-Length: ${body.length}`]));
    for (let at = 0; at < body.length; at += 1600) {
      await pause(50);
      connection.send(body.slice(at, at + 1600));
    }
    const reply = await connection.reply();
    expect(
      createHash("sha256")
        .update(JSON.parse(reply?.body ?? "").body)
        .digest("hex"),
    ).toBe(createHash("sha256").update(body).digest("hex"));
    connection.destroy();
  });

  it("has an end to its time, however fast it comes", async () => {
    await using served = await serve({ limits: { bodyMs: 50, bodyMaxMs: 300, headMs: 200, minBytesPerSecond: 1 } });
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", ["Content-Length: 100000000"]));
    const timer = setInterval(() => connection.send("a".repeat(1000)), 20);
    expect(await connection.reply()).toMatchObject({ status: 408 });
    clearInterval(timer);
    connection.destroy();
  });

  it("is not waited for when the answer is there, but for as long as the caller may need to see it", async () => {
    await using served = await serve({ http: (_req, res) => void res.writeHead(413).end(), limits: { lingerMs: 150 } });
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", ["Content-Length: 100"], "abc"));
    expect(await connection.reply()).toMatchObject({ status: 413 });
    expect(await connection.ended).toBeLessThan(soonMs);
    await expect.poll(() => served.listener.requests).toBe(0);
  });

  it("is not missed while it is the handler that does not read on", async () => {
    await using served = await serve({
      http: async (...args) => {
        await pause(400);
        await echo(...args);
      },
      limits: { bodyMs: 100 },
    });
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", ["Content-Length: 6"], "abc"));
    await pause(300);
    connection.send("def");
    expect(JSON.parse((await connection.reply())?.body ?? "")).toMatchObject({ body: "abcdef" });
    connection.destroy();
  });

  it("that a handler has stopped reading is dropped, and the connection goes on", async () => {
    await using served = await serve({
      http(req, res) {
        if (req.url === "/next") res.end("ok");
        req.once("data", () => {
          req.pause();
          res.writeHead(413).end();
        });
      },
      limits: { lingerMs: 2000 },
    });
    const connection = await rawConnect(served.port);
    connection.send(head("POST /a HTTP/1.1", ["Content-Length: 200000"], "a"));
    expect(await connection.reply()).toMatchObject({ status: 413 });
    connection.send(`${"a".repeat(199_999)}${head("GET /next HTTP/1.1")}`);
    expect(await connection.reply()).toMatchObject({ status: 200, body: "ok" });
    connection.destroy();
  });

  it("is read to its end after an early answer, and the connection goes on", async () => {
    await using served = await serve({
      http: (req, res) => (req.url === "/early" ? void res.writeHead(413).end() : void res.end("ok")),
      limits: { lingerMs: 500 },
    });
    const connection = await rawConnect(served.port);
    connection.send(head("POST /early HTTP/1.1", ["Content-Length: 6"], "abc"));
    expect(await connection.reply()).toMatchObject({ status: 413 });
    connection.send(`def${head("GET /next HTTP/1.1")}`);
    expect(await connection.reply()).toMatchObject({ status: 200, body: "ok" });
    await expect.poll(() => served.listener.requests).toBe(0);
    connection.destroy();
  });
});

describe("a connection", () => {
  it("between two requests is closed after a while", async () => {
    await using served = await serve({ limits: { keepAliveMs: 1 } });
    const connection = await rawConnect(served.port);
    connection.send(head("GET /a HTTP/1.1"));
    await connection.reply();
    expect(await connection.ended).toBeLessThan(soonMs);
  });

  it("answers pipelined requests in order", async () => {
    await using served = await serve();
    const connection = await rawConnect(served.port);
    connection.send(["/a", "/b", "/c"].map((path) => head(`GET ${path} HTTP/1.1`)).join(""));
    for (const path of ["/a", "/b", "/c"]) {
      expect(JSON.parse((await connection.reply())?.body ?? "")).toMatchObject({ path });
    }
    connection.destroy();
  });

  it("that pipelines without end is cut", async () => {
    let told = 0;
    await using served = await serve({
      http: (_req, res) => void res.on("close", () => told++),
      limits: { maxPipelined: 8 },
    });
    const connection = await rawConnect(served.port);
    connection.send(head("GET /a HTTP/1.1").repeat(100));
    await connection.ended;
    expect(served.cut).toEqual(["pipelining"]);
    expect(served.seen.length).toBe(9);
    await expect.poll(() => [told, served.listener.requests]).toEqual([9, 0]);
  });

  it("may pipeline again once its requests were answered", async () => {
    await using served = await serve({ limits: { maxPipelined: 4 } });
    const connection = await rawConnect(served.port);
    for (let round = 0; round < 3; round++) {
      connection.send(head("GET /a HTTP/1.1").repeat(5));
      for (let i = 0; i < 5; i++) expect(await connection.reply()).toMatchObject({ status: 200 });
    }
    connection.destroy();
  });

  it("above the limit is closed, and there is room again when others have left", async () => {
    await using served = await serve({ limits: { maxConnections: 2 } });
    const first = await rawConnect(served.port);
    const second = await rawConnect(served.port);
    for (const each of [first, second]) {
      each.send(head("GET /a HTTP/1.1"));
      await each.reply();
    }
    const third = await rawConnect(served.port);
    await third.ended;
    expect(served.cut).toEqual(["connection_limit"]);
    first.destroy();
    await expect.poll(() => served.listener.connections).toBe(1);
    expect(await rawRequest(served.port, head("GET /a HTTP/1.1"))).toMatchObject({ status: 200 });
    second.destroy();
  });
});

describe("a response", () => {
  it("that nobody reads is destroyed", async () => {
    let left = 0;
    await using served = await serve({
      http: async (...args) => {
        await flood(...args);
        left++;
      },
      limits: { writeStallMs: 200 },
    });
    const connection = await rawConnect(served.port);
    connection.socket.pause();
    connection.send(head("GET /a HTTP/1.1"));
    await served.untilCut("write_stall");
    await expect.poll(() => [left, served.listener.requests, served.listener.connections]).toEqual([1, 0, 0]);
    connection.destroy();
  });

  it("that is read slowly goes on", async () => {
    const large = Buffer.alloc(12 * 1024 * 1024);
    await using served = await serve({ http: (_req, res) => void res.end(large), limits: { writeStallMs: 400 } });
    const connection = await rawConnect(served.port);
    const { socket } = connection;
    socket.removeAllListeners("data");
    socket.write(head("GET /a HTTP/1.1"));
    let bytes = 0;
    socket.on("data", (chunk: Buffer) => {
      const before = bytes;
      bytes += chunk.length;
      if (Math.floor(before / 2 ** 20) === Math.floor(bytes / 2 ** 20)) return;
      socket.pause();
      setTimeout(() => socket.resume(), 70);
    });
    await expect.poll(() => bytes).toBeGreaterThan(large.length);
    expect(served.cut).toEqual([]);
    connection.destroy();
  });

  it("may be silent for as long as its handler likes", async () => {
    await using served = await serve({
      http: async (_req, res) => {
        res.write("a");
        await pause(400);
        res.end("b");
      },
      limits: { writeStallMs: 100, bodyMs: 100 },
    });
    expect(await rawRequest(served.port, head("GET /a HTTP/1.1"))).toMatchObject({ status: 200, body: "ab" });
  });

  it("is not disturbed by malformed bytes behind its request, which end the connection", async () => {
    await using served = await serve({
      http: async (req, res) => {
        res.writeHead(200);
        res.write("begun");
        await new Promise((resolve) => req.on("close", resolve));
      },
    });
    const connection = await rawConnect(served.port);
    connection.send(head("GET /a HTTP/1.1"));
    await expect.poll(() => connection.received).toContain("begun");
    connection.send("\0\0\0\r\n\r\n");
    await connection.ended;
    expect(connection.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

it("serves HTTP/1.0", async () => {
  await using served = await serve({ http: echo });
  const connection = await rawConnect(served.port);
  connection.send(head("GET /a HTTP/1.0"));
  expect(await connection.reply()).toMatchObject({ status: 200, headers: { connection: "close" } });
});
