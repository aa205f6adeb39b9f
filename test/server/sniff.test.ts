import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { flag, h2Connect, headers, preface, requestFields, settings, settingsAck, type } from "../helpers/h2-frames.js";
import { head, rawConnect, rawRequest } from "../helpers/raw-http.js";
import { serve, soonMs } from "./serve.js";

describe("one plaintext port", () => {
  it("serves HTTP/1.1 and HTTP/2 with prior knowledge", async () => {
    await using served = await serve();
    const client = connectHttp2(`http://127.0.0.1:${served.port}`);
    const stream = client.request({ ":path": "/x" });
    const body = await new Promise<string>((resolve) => {
      let text = "";
      stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      stream.on("end", () => resolve(text));
    });
    client.close();

    expect(JSON.parse(body)).toMatchObject({ path: "/x", protocol: "h2" });
    const reply = await rawRequest(served.port, head("GET /x HTTP/1.1"));
    expect(JSON.parse(reply?.body ?? "")).toMatchObject({ path: "/x", protocol: "h1" });
  });

  it.each(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])(
    "serves %s that arrives byte by byte",
    async (method) => {
      await using served = await serve();
      const connection = await rawConnect(served.port);
      connection.socket.setNoDelay(true);
      for (const byte of head(`${method} /x HTTP/1.1`, ["Content-Length: 2"], "hi")) {
        await new Promise<void>((resolve) => void connection.socket.write(byte, () => resolve()));
      }
      expect(JSON.parse((await connection.reply())?.body ?? "")).toMatchObject({ method, body: "hi", protocol: "h1" });
      connection.destroy();
    },
  );

  it("serves HTTP/2 whose preface arrives byte by byte", async () => {
    await using served = await serve();
    const connection = await h2Connect(served.port, []);
    connection.socket.setNoDelay(true);
    for (const byte of Buffer.concat([preface, settings(), settingsAck, headers(1)])) {
      await new Promise<void>((resolve) => void connection.socket.write(Buffer.from([byte]), () => resolve()));
    }
    const response = await connection.next((frame) => frame.type === type.headers && frame.stream === 1);
    expect(response?.payload.includes(0x88)).toBe(true);
    connection.destroy();
  });

  it("serves HTTP/2 that sends everything at once", async () => {
    await using served = await serve();
    const open = headers(1, requestFields({ ":method": "POST" }), flag.endHeaders);
    const connection = await h2Connect(served.port, [preface, settings(), settingsAck, open, headers(3)]);
    expect(await connection.next((frame) => frame.type === type.headers && frame.stream === 3)).toBeDefined();
    connection.destroy();
  });

  it("serves a request whose sender half-closed right behind it", async () => {
    await using served = await serve({
      http: (_req, res) => void res.end("ok"),
    });
    const socket = connect({ port: served.port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end(head("GET /x HTTP/1.1"));
    const text = await new Promise<string>((resolve) => {
      let received = "";
      socket.on("data", (chunk) => (received += chunk.toString()));
      socket.on("close", () => resolve(received));
    });
    expect(text).toContain("HTTP/1.1 200 OK");
  });

  it("closes a connection that sends nothing", async () => {
    await using served = await serve({ limits: { prefaceMs: 150 } });
    const connection = await rawConnect(served.port);
    expect(await connection.ended).toBeLessThan(soonMs);
    expect(served.cut).toEqual(["preface_timeout"]);
  });

  it("closes a connection that stops, or crawls, within the preface", async () => {
    await using served = await serve({ limits: { prefaceMs: 150 } });
    const stopped = await rawConnect(served.port);
    stopped.send("PRI * HTTP/2.0\r\n");
    const crawling = await rawConnect(served.port);
    let at = 0;
    const timer = setInterval(() => crawling.send(preface.subarray(at, ++at)), 40);
    const times = await Promise.all([stopped.ended, crawling.ended]);
    clearInterval(timer);
    expect(Math.max(...times)).toBeLessThan(soonMs);
    expect(served.cut).toEqual(["preface_timeout", "preface_timeout"]);
  });

  it("closes a connection that leaves, or resets, within the preface", async () => {
    await using served = await serve();
    const leaving = await rawConnect(served.port);
    leaving.send("PRI * H");
    leaving.socket.end();
    const resetting = await rawConnect(served.port);
    resetting.send("PRI * H");
    resetting.socket.resetAndDestroy();
    await Promise.all([leaving.ended, resetting.ended]);
    expect(await rawRequest(served.port, head("GET /x HTTP/1.1"))).toMatchObject({ status: 200 });
  });

  it("makes room for new connections among those that have not spoken by closing the oldest", async () => {
    await using served = await serve({ limits: { maxUndecided: 3 } });
    const silent = [];
    for (let i = 0; i < 3; i++) silent.push(await rawConnect(served.port));
    expect(await rawRequest(served.port, head("GET /x HTTP/1.1"))).toMatchObject({ status: 200 });
    await silent[0]?.ended;
    expect(served.cut).toEqual(["undecided_limit"]);
    silent[2]?.send(head("GET /y HTTP/1.1"));
    expect(await silent[2]?.reply()).toMatchObject({ status: 200 });
    for (const each of silent) each.destroy();
  });
});
