import type { ServerResponse } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { afterEach, describe, expect, it } from "vitest";
import { createDrain, type DrainSteps } from "../../src/server/drain.js";
import { silentLog } from "../helpers/log.js";
import { head, type RawConnection, rawConnect } from "../helpers/raw-http.js";
import { type Serve, type Served, serve } from "./serve.js";

/** Streams that end when the test says so. `/quick` is answered at once. */
function streams(): { http: Serve; live: ServerResponse[] } {
  const live: ServerResponse[] = [];
  return {
    live,
    http(req, res) {
      if (req.url === "/quick") {
        res.end("ok");
        return;
      }
      res.write("begun ");
      live.push(res);
    },
  };
}

const opened: { destroy(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.destroy();
});

async function h1(served: Served, path?: string): Promise<RawConnection> {
  const connection = await rawConnect(served.port);
  opened.push(connection);
  if (path === undefined) return connection;
  connection.send(head(`GET ${path} HTTP/1.1`));
  await expect.poll(() => connection.received).toContain("HTTP/1.1 200");
  return connection;
}

function h2(served: Served): ClientHttp2Session {
  const client = connectHttp2(`http://127.0.0.1:${served.port}`);
  client.on("error", () => {});
  opened.push(client);
  return client;
}

/** Resolves once the port takes no connections any more. */
async function refusing(served: Served): Promise<void> {
  const attempt = (): Promise<string> =>
    rawConnect(served.port).then(
      () => "accepted",
      () => "refused",
    );
  await expect.poll(attempt).toBe("refused");
}

/** How a stream over HTTP/2 ends: its body and its code. */
async function h2Stream(client: ClientHttp2Session): Promise<{ end: Promise<[body: string, code: number]> }> {
  const stream = client.request({ ":path": "/stream" });
  stream.on("error", () => {});
  let body = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
  const end = new Promise<[string, number]>((resolve) => stream.once("close", () => resolve([body, stream.rstCode])));
  await new Promise((resolve) => stream.once("data", resolve));
  return { end };
}

describe("a drain", () => {
  it("lets streams finish over both protocols, and is clean", async () => {
    const { http, live } = streams();
    await using served = await serve({ http });
    const first = await h1(served, "/stream");
    const second = await h2Stream(h2(served));
    const drained = served.listener.drain({ delayMs: 0, timeoutMs: 10_000 });
    expect(served.listener.draining).toBe(true);
    await refusing(served);

    for (const res of live) res.end("and finished");
    expect(await drained).toBe("clean");
    expect((await first.reply())?.body).toBe("begun and finished");
    expect(await second.end).toEqual(["begun and finished", 0]);
    expect(served.listener.hardStop.aborted).toBe(false);
    expect(served.cut).toEqual([]);
  });

  it("cuts what does not finish, after it has told the handlers", async () => {
    const { http } = streams();
    await using served = await serve({ http, limits: { graceMs: 100 } });
    const first = await h1(served, "/stream");
    const second = await h2Stream(h2(served));
    let stopped: unknown;
    served.listener.hardStop.addEventListener("abort", () => {
      stopped = served.listener.hardStop.reason;
    });
    expect(await served.listener.drain({ delayMs: 0, timeoutMs: 100 })).toBe("cut");
    expect(stopped).toMatchObject({ name: "UnavailableError", reason: "DRAINING" });
    await first.ended;
    expect(await first.reply()).toBeUndefined();
    expect((await second.end)[1]).not.toBe(0);
    expect(served.cut).toEqual(["drain", "drain"]);
  });

  it("gives handlers time to say why they stop", async () => {
    let served: Served | undefined;
    served = await serve({
      http(_req, res) {
        res.write("begun ");
        served?.listener.hardStop.addEventListener("abort", () => res.end("and stopped"));
      },
    });
    const first = await h1(served, "/stream");
    const second = await h2Stream(h2(served));
    expect(await served.listener.drain({ delayMs: 0, timeoutMs: 50 })).toBe("cut");
    expect((await first.reply())?.body).toBe("begun and stopped");
    expect(await second.end).toEqual(["begun and stopped", 0]);
  });

  it("accepts for a while, though it says that it drains", async () => {
    const { http } = streams();
    await using served = await serve({ http });
    const drained = served.listener.drain({ delayMs: 60_000, timeoutMs: 60_000 });
    expect(served.listener.draining).toBe(true);
    const connection = await h1(served, "/quick");
    expect(await connection.reply()).toMatchObject({ status: 200, headers: { connection: "keep-alive" } });
    const client = h2(served);
    const stream = client.request({ ":path": "/quick" }).resume();
    expect(await new Promise((resolve) => stream.once("response", (fields) => resolve(fields[":status"])))).toBe(200);
    // That while is over.
    void served.listener.drain({ delayMs: 0, timeoutMs: 10_000 });
    expect(await drained).toBe("clean");
    await connection.ended;
  });

  it("closes idle connections of both protocols, and silent ones", async () => {
    const { http } = streams();
    await using served = await serve({ http });
    const idle = await h1(served, "/quick");
    const silent = await h1(served);
    const client = h2(served);
    client.request({ ":path": "/quick" }).resume();
    await new Promise((resolve) => client.once("remoteSettings", resolve));
    await expect.poll(() => served.listener.requests).toBe(0);
    expect(await served.listener.drain({ delayMs: 0, timeoutMs: 10_000 })).toBe("clean");
    await Promise.all([idle.ended, silent.ended]);
    await expect.poll(() => client.destroyed).toBe(true);
  });

  it("answers requests that still come on open connections, and then closes these", async () => {
    const { http, live } = streams();
    await using served = await serve({ http });
    const busy = await h1(served, "/stream");
    const drained = served.listener.drain({ delayMs: 0, timeoutMs: 10_000 });
    await refusing(served);
    live[0]?.end();
    expect(await busy.reply()).toMatchObject({ status: 200 });
    await busy.ended;
    expect(await drained).toBe("clean");
  });

  it("says `Connection: close` in answers that begin during it, and takes nothing behind them", async () => {
    const answers: ServerResponse[] = [];
    await using served = await serve({ http: (_req, res) => void answers.push(res) });
    const connection = await h1(served);
    connection.send(head("GET /a HTTP/1.1"));
    await expect.poll(() => answers.length).toBe(1);
    const drained = served.listener.drain({ delayMs: 0, timeoutMs: 10_000 });
    await refusing(served);
    connection.send(head("GET /b HTTP/1.1"));
    answers[0]?.end("a");
    expect(await connection.reply()).toMatchObject({ body: "a", headers: { connection: "close" } });
    expect(await drained).toBe("clean");
    expect(served.seen).toEqual(["GET /a"]);
  });

  it("answers a request whose head was on its way, and then closes its connection", async () => {
    const { http } = streams();
    await using served = await serve({ http });
    const connection = await h1(served);
    connection.send("GET /quick HTTP/1.1\r\n");
    await expect.poll(() => served.listener.connections).toBe(1);
    const drained = served.listener.drain({ delayMs: 100, timeoutMs: 10_000 });
    await refusing(served);
    connection.send("Host: a\r\n\r\n");
    expect(await connection.reply()).toMatchObject({ status: 200, headers: { connection: "close" } });
    expect(await drained).toBe("clean");
  });

  it("refuses new streams of open HTTP/2 connections in a way that says they were not processed", async () => {
    const { http, live } = streams();
    await using served = await serve({ http });
    const client = h2(served);
    const stream = await h2Stream(client);
    const goaway = new Promise((resolve) => client.once("goaway", (code, last) => resolve([code, last])));
    const drained = served.listener.drain({ delayMs: 0, timeoutMs: 10_000 });
    expect(await goaway).toEqual([0, 1]);
    live[0]?.end();
    await stream.end;
    expect(await drained).toBe("clean");
  });

  it("sends an answer that is written, but not yet sent, to its end", async () => {
    const large = Buffer.alloc(20 * 1024 * 1024, "a");
    await using served = await serve({ http: (_req, res) => void res.end(large) });
    const { socket } = await h1(served);
    socket.removeAllListeners("data");
    let bytes = 0;
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.pause();
    socket.write(head("GET /a HTTP/1.1"));
    await expect.poll(() => served.listener.requests).toBe(1);
    const drained = served.listener.drain({ delayMs: 0, timeoutMs: 10_000 });
    await refusing(served);
    socket.resume();
    expect(await drained).toBe("clean");
    await expect.poll(() => bytes).toBeGreaterThan(large.length);
  });

  it("still times out slow heads", async () => {
    const { http, live } = streams();
    await using served = await serve({ http, limits: { headMs: 200, lingerMs: 50 } });
    const busy = await h1(served, "/stream");
    const slow = await h1(served);
    slow.send("GET /a HT");
    // It is there once what was sent after it is answered: who has sent nothing is let go of when the drain begins.
    await h1(served, "/quick");
    const drained = served.listener.drain({ delayMs: 50, timeoutMs: 10_000 });
    expect(await slow.reply()).toMatchObject({ status: 408 });
    live[0]?.end();
    expect(await drained).toBe("clean");
    busy.destroy();
  });

  it("is shortened by a second one, never lengthened", async () => {
    const { http } = streams();
    await using served = await serve({ http, limits: { graceMs: 50 } });
    await h1(served, "/stream");
    const first = served.listener.drain({ delayMs: 60_000, timeoutMs: 60_000 });
    const second = served.listener.drain({ delayMs: 0, timeoutMs: 50 });
    const third = served.listener.drain({ delayMs: 60_000, timeoutMs: 60_000 });
    expect(await Promise.all([first, second, third])).toEqual(["cut", "cut", "cut"]);
  });

  it("of a server that never listened, or has nothing to do, is over at once", async () => {
    const { http } = streams();
    const served = await serve({ http });
    expect(await served.listener.drain({ delayMs: 0, timeoutMs: 0 })).toBe("clean");
    expect(await served.listener.drain({ delayMs: 0, timeoutMs: 0 })).toBe("clean");
    await served.listener.close();
    await served.listener.close();
  });
});

describe("createDrain", () => {
  it("ends, and destroys, even when a step fails", async () => {
    let destroyed = 0;
    const steps: DrainSteps = {
      stop() {
        throw new Error("no");
      },
      settle: () => 1,
      hardStop() {},
      destroy: () => void destroyed++,
    };
    const drain = createDrain({ steps, log: silentLog }, { graceMs: 0 }, 1);
    expect(await drain.run({ delayMs: 0, timeoutMs: 0 })).toBe("cut");
    expect(destroyed).toBe(1);
  });
});
