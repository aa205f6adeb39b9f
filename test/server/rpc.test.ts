import { connect as connectHttp2 } from "node:http2";
import { gzipSync } from "node:zlib";
import {
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type ServiceImpl,
  type Transport,
} from "@connectrpc/connect";
import {
  compressionBrotli,
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { CompletionsService } from "../../gen/codygateway/v1/completions_pb.js";
import { createListener, type Listener } from "../../src/server/listener.js";
import { createRpcHandler, type RpcOptions, type RpcParts } from "../../src/server/rpc.js";
import { recordingLog } from "../helpers/log.js";
import { head, type RawReply, rawConnect, rawRequest } from "../helpers/raw-http.js";
import { until } from "../helpers/redis.js";
import { deferred } from "./serve.js";

type Completions = Partial<ServiceImpl<typeof CompletionsService>>;

const open: Listener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
});

interface Rpc {
  readonly listener: Listener;
  readonly port: number;
  readonly url: string;
  readonly log: ReturnType<typeof recordingLog>;
  readonly shutdown: AbortController;
}

const answering: Completions = {
  complete: (request) => ({ id: "c", model: request.model }),
  async *streamComplete(request) {
    for (const text of ["a", "b", "c"]) {
      yield { event: { case: "textDelta", value: { text: `${request.completion?.model}${text}` } } };
    }
  },
  listModels: () => ({}),
};

async function serveRpc(
  completions: Completions = answering,
  options: RpcOptions & { readonly interceptors?: Interceptor[]; readonly turnOf?: RpcParts["turnOf"] } = {},
): Promise<Rpc> {
  const log = recordingLog();
  const shutdown = new AbortController();
  const handler = createRpcHandler(
    {
      routes: (router) => void router.service(CompletionsService, completions),
      interceptors: options.interceptors ?? [],
      turnOf: options.turnOf,
      shutdownSignal: shutdown.signal,
    },
    options,
  );
  const listener = createListener(
    { ...handler, http: (_req, res) => void res.writeHead(404).end(), log },
    { limits: { sweepMs: 20, lingerMs: 1_000 } },
  );
  open.push(listener);
  const port = await listener.listen(0, "127.0.0.1");
  return { listener, port, url: `http://127.0.0.1:${port}`, log, shutdown };
}

const complete = "/codygateway.v1.CompletionsService/Complete";
const streamComplete = "/codygateway.v1.CompletionsService/StreamComplete";
const json = ["Content-Type: application/json", "Connect-Protocol-Version: 1"];

/** What curl sends for a Connect call. */
function call(
  port: number,
  body: string | Buffer,
  headers: readonly string[] = json,
  path = complete,
): Promise<RawReply | undefined> {
  const bytes = Buffer.from(body);
  const text = head(`POST ${path} HTTP/1.1`, [...headers, `Content-Length: ${bytes.length}`], bytes.toString("latin1"));
  return rawRequest(port, text);
}

/** A message of a stream of the Connect protocol. */
function envelope(message: string): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(Buffer.byteLength(message), 1);
  return Buffer.concat([header, Buffer.from(message)]);
}

/** How clients come. */
const transports: [string, (url: string) => Transport][] = [
  ["Connect over HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "Connect JSON over HTTP/1.1",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
  ],
  ["Connect over HTTP/2", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  ["Connect GET", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true })],
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web over HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["gRPC-Web over HTTP/2", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
  [
    "gRPC, compressed",
    (baseUrl) => createGrpcTransport({ baseUrl, sendCompression: compressionGzip, compressMinBytes: 1 }),
  ],
];

describe("an RPC", () => {
  it.each(transports)("works over %s", async (_, transport) => {
    const { url } = await serveRpc();
    const client = createClient(CompletionsService, transport(url));
    expect(await client.complete({ model: "m" })).toMatchObject({ id: "c", model: "m" });
    expect(await client.listModels({})).toBeDefined();
    const texts: unknown[] = [];
    for await (const each of client.streamComplete({ completion: { model: "m" } })) texts.push(each.event.value);
    expect(texts).toMatchObject([{ text: "ma" }, { text: "mb" }, { text: "mc" }]);
  });

  it("waits for its turn, before it is read; others do not wait for it", async () => {
    const turn = deferred<void>();
    const begun: string[] = [];
    const noting: Completions = {
      complete({ model }) {
        begun.push(model);
        return { id: "c", model };
      },
    };
    const turnOf: RpcParts["turnOf"] = (path, headers) => (headers["x-wait"] === path ? turn.promise : undefined);
    const { port, listener } = await serveRpc(noting, { turnOf });
    const wait = [...json, `X-Wait: ${complete}`];

    const waiting = call(port, '{"model":"waits"}', wait);
    const leaving = await rawConnect(port);
    leaving.send(head(`POST ${complete} HTTP/1.1`, [...wait, "Content-Length: 18"], '{"model":"leaves"}'));
    await until(async () => listener.requests === 2);
    expect((await call(port, '{"model":"passes"}'))?.status).toBe(200);
    leaving.destroy();
    await until(async () => listener.requests === 1);
    expect(begun).toEqual(["passes"]);
    turn.resolve(undefined);
    expect(JSON.parse((await waiting)?.body ?? "")).toEqual({ id: "c", model: "waits" });
    expect(begun).toEqual(["passes", "waits"]);
  });

  it("works with curl and JSON", async () => {
    const { port } = await serveRpc();
    const reply = await call(port, '{"model":"m"}');
    expect([reply?.status, JSON.parse(reply?.body ?? "")]).toEqual([200, { id: "c", model: "m" }]);
  });

  it("needs the header that no page of another origin can send, and says so", async () => {
    const { port } = await serveRpc();
    const reply = await call(port, '{"model":"m"}', ["Content-Type: application/json"]);
    expect(reply?.status).toBe(400);
    expect(JSON.parse(reply?.body ?? "")).toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("Connect-Protocol-Version"),
    });
  });

  it("tells interceptors and callers the request id", async () => {
    const ids: (string | null)[] = [];
    const { port } = await serveRpc(answering, {
      interceptors: [
        (next) => (req) => {
          ids.push(req.header.get("x-request-id"));
          return next(req);
        },
      ],
    });
    expect((await call(port, "{}", [...json, "X-Request-Id: mine"]))?.headers["x-request-id"]).toBe("mine");
    const other = await call(port, "{}");
    expect(ids).toEqual(["mine", other?.headers["x-request-id"]]);
  });

  it.each(["[", "a:b:c", "", "a b", "1.2.3.4.5", "%00"])(
    "with host %j is refused and brings nothing down",
    async (host) => {
      const { port } = await serveRpc();
      for (const path of [complete, streamComplete]) {
        expect(await call(port, "{}", [...json, `Host: ${host}`], path)).toMatchObject({ status: 400 });
      }
      expect(await rawRequest(port, `POST ${complete} HTTP/1.0\r\nContent-Length: 0\r\n\r\n`)).toMatchObject({
        status: 400,
      });
      expect(await call(port, "{}")).toMatchObject({ status: 200 });
    },
  );

  it("that does not exist is for the HTTP routes", async () => {
    const { port } = await serveRpc();
    expect(await call(port, "{}", json, "/codygateway.v1.CompletionsService/Nothing")).toMatchObject({ status: 404 });
  });

  it("that runs at the hard stop ends as unavailable", async () => {
    const { url, shutdown } = await serveRpc({
      async *streamComplete(_request, { signal }) {
        yield { event: { case: "textDelta", value: { text: "a" } } };
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
    });
    const client = createClient(CompletionsService, createGrpcTransport({ baseUrl: url }));
    const read = async () => {
      for await (const _ of client.streamComplete({})) shutdown.abort(new Error("stop"));
    };
    await expect(read()).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it("that comes after the hard stop ends as unavailable", async () => {
    const { url, shutdown } = await serveRpc({
      complete: async (_request, { signal }) => {
        signal.throwIfAborted();
        return {};
      },
    });
    shutdown.abort(new Error("stop"));
    const client = createClient(CompletionsService, createGrpcTransport({ baseUrl: url }));
    await expect(client.complete({})).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it.each(transports.filter(([name]) => name !== "Connect GET"))(
    "hears that its caller left over %s",
    async (_, transport) => {
      const leaving = new AbortController();
      const left = deferred<unknown>();
      const { url } = await serveRpc({
        async complete(_request, { signal }) {
          signal.addEventListener("abort", () => left.resolve(signal.reason));
          leaving.abort();
          await left.promise;
          return {};
        },
      });
      const client = createClient(CompletionsService, transport(url));
      await expect(client.complete({}, { signal: leaving.signal })).rejects.toMatchObject({ code: Code.Canceled });
      expect(await left.promise).toMatchObject({ name: "AbortError" });
    },
  );

  it("adds no listener warnings, however many run", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    const released = deferred<void>();
    let running = 0;
    const { url } = await serveRpc({
      async complete() {
        if (++running === 50) released.resolve();
        await released.promise;
        return {};
      },
    });
    const client = createClient(CompletionsService, createConnectTransport({ baseUrl: url, httpVersion: "2" }));
    await Promise.all(Array.from({ length: 50 }, () => client.complete({})));
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });
});

describe("a message", () => {
  const limited = { maxMessageBytes: 100_000 };
  const tooLarge = { status: 413, headers: { "x-should-retry": "false" } };

  it("that is too large is refused with 413, by its length or when it gets there", async () => {
    const { port } = await serveRpc(answering, limited);
    const body = JSON.stringify({ model: "m".repeat(100_000) });
    const byLength = await call(port, body);
    const size = body.length.toString(16);
    const byBytes = await rawRequest(
      port,
      head(`POST ${complete} HTTP/1.1`, [...json, "Transfer-Encoding: chunked"], `${size}\r\n${body}\r\n0\r\n\r\n`),
    );
    for (const reply of [byLength, byBytes]) {
      expect(reply).toMatchObject(tooLarge);
      expect(JSON.parse(reply?.body ?? "")).toMatchObject({ code: "resource_exhausted" });
    }
  });

  it("that is too large, and still coming, is read to its end, and the connection goes on", async () => {
    const { port, listener } = await serveRpc(answering, limited);
    const connection = await rawConnect(port);
    connection.send(head(`POST ${complete} HTTP/1.1`, [...json, "Transfer-Encoding: chunked"]));
    const chunk = `4000\r\n${" ".repeat(0x4000)}\r\n`;
    connection.send(chunk.repeat(8));
    expect(await connection.reply()).toMatchObject(tooLarge);
    connection.send(`${chunk.repeat(200)}0\r\n\r\n${head("GET /next HTTP/1.1")}`);
    expect(await connection.reply()).toMatchObject({ status: 404 });
    await expect.poll(() => listener.requests).toBe(0);
    connection.destroy();
  });

  it("that is too large, and never ends, does not hold the connection", async () => {
    const { port, listener } = await serveRpc(answering, limited);
    const connection = await rawConnect(port);
    connection.send(head(`POST ${complete} HTTP/1.1`, [...json, "Transfer-Encoding: chunked"]));
    const timer = setInterval(() => connection.send(`4000\r\n${" ".repeat(0x4000)}\r\n`), 5);
    expect(await connection.reply()).toMatchObject(tooLarge);
    await connection.ended;
    clearInterval(timer);
    await expect.poll(() => listener.requests).toBe(0);
  });

  it("that is within the limit, and long, arrives", async () => {
    const { port } = await serveRpc();
    const reply = await call(port, JSON.stringify({ model: "m".repeat(1_000_000) }));
    expect(JSON.parse(reply?.body ?? "").model).toHaveLength(1_000_000);
  });

  it("that is too large once decompressed is refused with 413", async () => {
    const { port } = await serveRpc(answering, limited);
    const bomb = gzipSync(Buffer.alloc(50_000_000, " "));
    expect(await call(port, bomb, [...json, "Content-Encoding: gzip"])).toMatchObject(tooLarge);
    expect(await call(port, gzipSync('{"model":"m"}'), [...json, "Content-Encoding: gzip"])).toMatchObject({
      status: 200,
    });
  });

  it.each(["br", "deflate", "zstd", "gzip, gzip"])("encoded as %s is refused unread", async (encoding) => {
    const { port } = await serveRpc();
    const reply = await call(port, "{}", [...json, `Content-Encoding: ${encoding}`]);
    expect(reply?.status).toBe(501);
    expect(JSON.parse(reply?.body ?? "")).toMatchObject({ code: "unimplemented" });
  });

  it("compressed with brotli is refused over gRPC, too", async () => {
    const { url } = await serveRpc();
    const transport = createGrpcTransport({ baseUrl: url, sendCompression: compressionBrotli, compressMinBytes: 0 });
    const failed = createClient(CompletionsService, transport).complete({ model: "m" });
    await expect(failed).rejects.toMatchObject({ code: Code.Unimplemented });
  });

  it("that is only announced takes no memory", async () => {
    const { port } = await serveRpc();
    const before = process.memoryUsage().arrayBuffers;
    const connections = await Promise.all(Array.from({ length: 10 }, () => rawConnect(port)));
    for (const each of connections)
      each.send(head(`POST ${complete} HTTP/1.1`, [...json, "Content-Length: 16000000"], "{"));
    expect(await call(port, "{}")).toMatchObject({ status: 200 });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8_000_000);
    for (const each of connections) each.destroy();
  });

  it("is compressed for callers who can read that when it is worth it", async () => {
    const { port } = await serveRpc({ complete: (request) => ({ model: request.model }) });
    const encodings = async (size: number) =>
      (await call(port, JSON.stringify({ model: "m".repeat(size) }), [...json, "Accept-Encoding: gzip, br"]))?.headers[
        "content-encoding"
      ];
    expect(await encodings(5000)).toBeUndefined();
    expect(await encodings(50_000)).toBe("gzip");
  });
});

/** Yields without end; tells when it waits no more. */
function endless(): { completions: Completions; ended: Promise<"ended">; yielded: () => number } {
  let count = 0;
  const ended = deferred<"ended">();
  const text = "x".repeat(64 * 1024);
  return {
    ended: ended.promise,
    yielded: () => count,
    completions: {
      async *streamComplete() {
        try {
          for (;;) {
            count++;
            yield { event: { case: "textDelta", value: { text } } };
          }
        } finally {
          ended.resolve("ended");
        }
      },
    },
  };
}

/** Resolves once nothing more is yielded: the generator waits for its reader. */
async function stalled(yielded: () => number): Promise<void> {
  for (let last = -1; last !== yielded() || last === 0; ) {
    last = yielded();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("a stream whose reader stalls and then leaves", () => {
  it("is ended over HTTP/1.1", async () => {
    const { completions, ended, yielded } = endless();
    const { port, log } = await serveRpc(completions);
    const connection = await rawConnect(port);
    connection.socket.pause();
    const body = envelope("{}");
    const headers = ["Content-Type: application/connect+json", "Connect-Protocol-Version: 1"];
    connection.send(
      head(`POST ${streamComplete} HTTP/1.1`, [...headers, `Content-Length: ${body.length}`], body.toString("latin1")),
    );
    await stalled(yielded);
    connection.destroy();
    expect(await ended).toBe("ended");
    expect(log.lines.filter((line) => line.level === "error")).toEqual([]);
  });

  it.each(["cancels", "closes"])("is ended over HTTP/2 when the reader %s", async (how) => {
    const { completions, ended, yielded } = endless();
    const { url, log } = await serveRpc(completions);
    const client = connectHttp2(url);
    client.on("error", () => {});
    const stream = client.request({
      ":path": streamComplete,
      ":method": "POST",
      "content-type": "application/connect+json",
      "connect-protocol-version": "1",
    });
    stream.on("error", () => {});
    stream.end(envelope("{}"));
    await stalled(yielded);
    if (how === "cancels") stream.close(8);
    else client.destroy();
    expect(await ended).toBe("ended");
    client.destroy();
    expect(log.lines.filter((line) => line.level === "error")).toEqual([]);
  });
});

it("keeps errors of handlers with the protocol", async () => {
  const { port, log } = await serveRpc({
    complete() {
      throw new ConnectError("no", Code.FailedPrecondition);
    },
  });
  const reply = await call(port, "{}");
  expect(JSON.parse(reply?.body ?? "")).toEqual({ code: "failed_precondition", message: "no" });
  expect(log.lines).toEqual([]);
});
