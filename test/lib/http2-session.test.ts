import { createServer as createHttp2, type Http2Server, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTls } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { callFailure } from "../../src/lib/call-error.js";
import { createHttp2Session, type Http2SessionKeeper, type Http2SessionOptions } from "../../src/lib/http2-session.js";
import { selfSigned } from "../helpers/certificate.js";
import { startTcpProxy } from "../helpers/tcp-proxy.js";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

async function serve(): Promise<{ server: Http2Server; port: number; sessions: ServerHttp2Session[] }> {
  const sessions: ServerHttp2Session[] = [];
  const server = createHttp2((req, res) => res.end(req.url));
  server.on("session", (session) => sessions.push(session));
  server.on("sessionError", () => {});
  return { server, port: await listen(server), sessions };
}

function keep(port: number, options?: Http2SessionOptions, scheme = "http"): Http2SessionKeeper {
  const keeper = createHttp2Session(`${scheme}://127.0.0.1:${port}`, options);
  cleanups.push(() => keeper.close());
  return keeper;
}

async function get(keeper: Http2SessionKeeper, path = "/a"): Promise<string> {
  const stream = await keeper.request("GET", path, {}, {});
  stream.end();
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  keeper.notifyResponseByteRead(stream);
  return body;
}

const why = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "answered",
    (error: unknown) => callFailure(error).why,
  );

describe("an HTTP/2 connection", () => {
  it("is one for all requests", async () => {
    const { port, sessions } = await serve();
    const keeper = keep(port);

    expect(await Promise.all([get(keeper, "/a"), get(keeper, "/b"), get(keeper, "/c")])).toEqual(["/a", "/b", "/c"]);
    expect(await get(keeper)).toBe("/a");
    expect(sessions).toHaveLength(1);
  });

  it.each<[string, (session: ServerHttp2Session) => void]>([
    ["ended", (session) => session.close()],
    ["cut", (session) => session.destroy()],
    ["told to go away", (session) => session.goaway(0)],
  ])("is opened again when it was %s", async (_, end) => {
    const { port, sessions } = await serve();
    const keeper = keep(port);
    await get(keeper);
    for (const session of sessions) end(session);

    // Until the news arrives, a request may fail.
    await expect.poll(() => get(keeper).catch(() => "failed")).toBe("/a");
    await expect.poll(() => sessions.length).toBeGreaterThan(1);
  });

  it("is opened again when the other side fell silent", async () => {
    const { port } = await serve();
    await using proxy = await startTcpProxy(port);
    const keeper = keep(proxy.port, { verifyAfterMs: 0, pingTimeoutMs: 100 });
    expect(await get(keeper)).toBe("/a");
    expect(await get(keeper)).toBe("/a");
    // On a busy machine it may have seemed silent before.
    const before = proxy.accepted;

    proxy.pass("none", { newToo: false });
    expect(await Promise.all([get(keeper, "/b"), get(keeper, "/c")])).toEqual(["/b", "/c"]);
    expect(proxy.accepted).toBeGreaterThan(before);
  });

  it("leaves nothing behind of the signs of life that it was asked for", async () => {
    const { port } = await serve();
    const keeper = keep(port, { verifyAfterMs: 0 });
    const listeners = async (): Promise<number> => {
      const stream = await keeper.request("GET", "/a", {}, {});
      const count = stream.session?.listenerCount("close") ?? 0;
      for await (const _ of stream.end()) continue;
      keeper.notifyResponseByteRead(stream);
      return count;
    };
    const before = await listeners();
    for (let request = 0; request < 20; request++) await get(keeper);

    expect(await listeners()).toBe(before);
  });

  it("is given up when it is not there in time, and tried again", async () => {
    const silent = createServer();
    const keeper = keep(await listen(silent), { connectTimeoutMs: 50 }, "https");
    let connections = 0;
    silent.on("connection", () => connections++);

    expect(await why(get(keeper))).toBe("did not answer in time");
    expect(await why(get(keeper))).toBe("did not answer in time");
    await expect.poll(() => connections).toBe(2);
  });

  it("outlives what is sent to it in place of HTTP/2, whenever that comes", async () => {
    const server = createServer((socket) => {
      socket.write("HTTP/1.1 400 Bad Request\r\n\r\n");
      socket.once("data", () => socket.write("more of it"));
    });
    const keeper = keep(await listen(server));

    const failures = await Promise.all([why(get(keeper)), why(get(keeper)), why(get(keeper))]);
    for (const failure of failures) expect(failure).toMatch(/^(broke off|cannot be reached|failed)/);
    keeper.close();
  });

  it.each([
    [
      "without a certificate that is trusted",
      ["h2"],
      /^has a certificate that is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/,
    ],
    ["without HTTP/2", ["http/1.1"], /^does not offer HTTP\/2$/],
  ])("is refused %s", async (_, ALPNProtocols, reason) => {
    const tls = createTls({ ...selfSigned(), ALPNProtocols });
    tls.on("tlsClientError", () => {});

    expect(await why(get(keep(await listen(tls), {}, "https")))).toMatch(reason);
  });

  it("can be closed while it is being opened", async () => {
    const keeper = keep(await listen(createServer()), {}, "https");
    const asked = why(get(keeper));
    keeper.close();

    expect(await asked).toMatch(/^cannot be reached/);
  });
});
