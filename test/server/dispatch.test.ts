import { connect as connectHttp2, constants } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { head, rawConnect, rawRequest } from "../helpers/raw-http.js";
import { type Serve, serve } from "./serve.js";

const failures: [string, Serve][] = [
  [
    "throws",
    () => {
      throw new Error("secret text");
    },
  ],
  ["rejects", () => Promise.reject(new Error("secret text"))],
  [
    "rejects later",
    async () => {
      await pause(5);
      throw new Error("secret text");
    },
  ],
  [
    "throws after it has set headers",
    (_req, res) => {
      res.setHeader("content-encoding", "gzip").setHeader("set-cookie", "a=b");
      throw new Error("secret text");
    },
  ],
  ["writes a header that cannot be", (_req, res) => void res.writeHead(200, { "x-a": "a\nb" })],
];

const breaking: Serve = async (_req, res) => {
  res.writeHead(200);
  res.write("begun");
  await pause(20);
  throw new Error("too late");
};

const show: Serve = (req, res, call) => void res.end(JSON.stringify([call.requestId, req.headers["x-request-id"]]));

describe("a handler that fails", () => {
  it.each(failures)("and %s is answered for, and logged with the request id", async (_, http) => {
    await using served = await serve({ http });
    const connection = await rawConnect(served.port);
    connection.send(head("GET /a?token=t HTTP/1.1", ["X-Request-Id: my-id"]));
    const reply = await connection.reply();
    expect(reply).toMatchObject({
      status: 500,
      body: '{"error":"internal error"}',
      headers: { "x-request-id": "my-id" },
    });
    expect(reply?.headers).not.toHaveProperty("content-encoding");
    expect(reply?.headers).not.toHaveProperty("set-cookie");
    const [line, ...more] = served.log.lines;
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      level: "error",
      fields: { err: expect.any(Error), requestId: "my-id", path: "/a", method: "GET", protocol: "h1" },
    });
    connection.send(head("GET /b HTTP/1.1"));
    expect(await connection.reply()).toMatchObject({ status: 500 });
    connection.destroy();
  });

  it.each(failures.slice(0, 4))("and %s is answered for over HTTP/2", async (_, http) => {
    await using served = await serve({ http });
    const client = connectHttp2(`http://127.0.0.1:${served.port}`);
    const stream = client.request({ ":path": "/a" }).resume();
    const status = await new Promise((resolve) => stream.once("response", (response) => resolve(response[":status"])));
    client.destroy();
    expect(status).toBe(500);
  });

  it("and has begun its answer breaks it off, so that nobody takes it for whole", async () => {
    await using served = await serve({ http: breaking });
    const connection = await rawConnect(served.port);
    connection.send(head("GET /a HTTP/1.1"));
    await connection.ended;
    expect(connection.received).toContain("begun");
    expect(connection.received).not.toContain("\r\n0\r\n\r\n");

    const client = connectHttp2(`http://127.0.0.1:${served.port}`);
    const stream = client.request({ ":path": "/a" }).resume();
    stream.on("error", () => {});
    await new Promise((resolve) => stream.once("close", resolve));
    client.destroy();
    expect(stream.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  });

  it("after it has answered is an error all the same, though nobody sees it", async () => {
    await using served = await serve({
      http: async (_req, res) => {
        await new Promise<void>((resolve) => void res.end("ok", () => resolve()));
        await pause(20);
        throw new Error("too late");
      },
    });
    expect(await rawRequest(served.port, head("GET /a HTTP/1.1"))).toMatchObject({ status: 200, body: "ok" });
    await expect.poll(() => served.log.lines).toMatchObject([{ level: "error" }]);
  });

  it("because its caller has left is no error", async () => {
    await using served = await serve({
      http: async (req, res) => {
        await new Promise((resolve) => res.on("close", resolve));
        throw new Error(`caller of ${req.url} has left`);
      },
    });
    const connection = await rawConnect(served.port);
    connection.send(head("GET /a HTTP/1.1"));
    await expect.poll(() => served.seen).toEqual(["GET /a"]);
    connection.destroy();
    await expect.poll(() => served.log.lines).toMatchObject([{ level: "debug" }]);
  });

  it.each<[string, Serve]>([
    ["writes after its end", (_req, res) => void res.end("ok", () => res.write("more"))],
    ["ends twice", (_req, res) => void res.end("ok").end("ok")],
    ["writes in the next turn", (_req, res) => void setImmediate(() => res.end("ok") && res.write("more"))],
    ["destroys its request", (req, res) => void res.end(String(req.destroy(new Error("no")).destroyed))],
    ["destroys its response", (_req, res) => void res.destroy(new Error("no"))],
  ])("and %s does not bring the process down", async (_, http) => {
    await using served = await serve({ http });
    await rawRequest(served.port, head("POST /a HTTP/1.1", ["Content-Length: 3"], "abc"));
    const client = connectHttp2(`http://127.0.0.1:${served.port}`);
    const stream = client.request({ ":path": "/a" }).resume();
    stream.on("error", () => {});
    await new Promise((resolve) => stream.once("close", resolve));
    client.destroy();
    await expect.poll(() => served.listener.requests).toBe(0);
  });
});

describe("a request that is over", () => {
  const waits: Serve = async (req, res) => {
    if (req.url === "/waits") return;
    res.writeHead(req.url === "/begins" ? 206 : 404);
    if (req.url === "/begins") res.write("begun");
    else res.end();
  };

  it("is told of once, with the status that its caller was sent", async () => {
    await using served = await serve({ http: waits });
    await rawRequest(served.port, head("GET /answered HTTP/1.1"));
    await rawRequest(served.port, head("GET /refused HTTP/1.1", ["Content-Length: 3", "Content-Length: 3"], "abc"));
    for (const target of ["/waits", "/begins"]) {
      const connection = await rawConnect(served.port);
      connection.send(head(`GET ${target} HTTP/1.1`));
      await expect.poll(() => served.seen).toContain(`GET ${target}`);
      connection.destroy();
    }
    const all = ["/answered 404", "/waits undefined", "/begins 206"];
    await expect.poll(() => served.ended).toHaveLength(all.length);
    expect(served.ended.toSorted()).toEqual(all.toSorted());
  });

  it("is told of over HTTP/2, too", async () => {
    await using served = await serve({ http: waits });
    const client = connectHttp2(`http://127.0.0.1:${served.port}`);
    client.on("error", () => {});
    for (const path of ["/answered", "/waits", "/begins"]) {
      client
        .request({ ":path": path })
        .on("error", () => {})
        .resume();
      await expect.poll(() => served.seen).toContain(`GET ${path}`);
    }
    await expect.poll(() => served.ended).toEqual(["/answered 404"]);
    client.destroy();
    await expect.poll(() => served.ended).toHaveLength(3);
    expect(served.ended.toSorted()).toEqual(["/answered 404", "/begins 206", "/waits undefined"]);
  });
});

describe("the request id", () => {
  it.each(["a", "A.b_c-9", "0123456789abcdef".repeat(4)])("is the caller's: %s", async (id) => {
    await using served = await serve({ http: show });
    const reply = await rawRequest(served.port, head("GET /a HTTP/1.1", [`X-Request-Id: ${id}`]));
    expect([reply?.headers["x-request-id"], ...JSON.parse(reply?.body ?? "")]).toEqual([id, id, id]);
  });

  it.each([
    ["none", []],
    ["an empty one", ["X-Request-Id:"]],
    ["a long one", [`X-Request-Id: ${"a".repeat(65)}`]],
    ["one with a space", ["X-Request-Id: a b"]],
    ["one with quotes", ['X-Request-Id: "a"']],
    ["one with a high byte", ["X-Request-Id: \xe9"]],
    ["two", ["X-Request-Id: a", "X-Request-Id: b"]],
  ])("is a new one where the caller sent %s", async (_, headers) => {
    await using served = await serve({ http: show });
    const ask = async () => {
      const reply = await rawRequest(served.port, head("GET /a HTTP/1.1", headers));
      return [reply?.headers["x-request-id"], ...JSON.parse(reply?.body ?? "")] as string[];
    };
    const [first, second] = [await ask(), await ask()];
    expect(new Set(first).size).toBe(1);
    expect(first[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(second[0]).not.toBe(first[0]);
  });

  it("is there over HTTP/2, too, and on refusals", async () => {
    await using served = await serve({ http: show });
    const client = connectHttp2(`http://127.0.0.1:${served.port}`);
    const ask = (fields: Record<string, string>) =>
      new Promise((resolve) => {
        const stream = client.request({ ":path": "/a", "x-request-id": "mine", ...fields }).resume();
        stream.once("response", (response) => resolve([response[":status"], response["x-request-id"]]));
      });
    expect(await ask({})).toEqual([200, "mine"]);
    expect(await ask({ ":method": "TRACE" })).toEqual([405, "mine"]);
    client.destroy();
  });
});

describe("requests", () => {
  it("go to the RPC handler by their path, without the query", async () => {
    await using served = await serve({
      isRpc: (path) => path === "/s/M",
      rpc: (_req, res) => void res.end("rpc"),
      http: (_req, res) => void res.end("http"),
    });
    const ask = async (target: string) => (await rawRequest(served.port, head(`GET ${target} HTTP/1.1`)))?.body;
    expect(await Promise.all(["/s/M", "/s/M?x=/s/N", "/s/M/", "/s/m", "/x?/s/M"].map(ask))).toEqual([
      "rpc",
      "rpc",
      "http",
      "http",
      "http",
    ]);
  });
});
