import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createListener } from "../../src/server/listener.js";
import { silentLog } from "../helpers/log.js";
import { head, rawConnect, rawRequest } from "../helpers/raw-http.js";
import { serve, soonMs } from "./serve.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tls-"));
  makeCertificate("first");
  makeCertificate("second");
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string): string => join(folder, name);

function makeCertificate(name: string): void {
  const options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const out = ["-keyout", file(`${name}.key`), "-out", file(`${name}.crt`), "-subj", `/CN=${name}`];
  execFileSync("openssl", ["req", "-x509", ...options, ...out], { stdio: "ignore" });
}

/** Puts certificate and key of these names where a server looks for them. */
function install(target: string, cert: string, key = cert): { certFile: string; keyFile: string } {
  const files = { certFile: file(`${target}.crt`), keyFile: file(`${target}.key`) };
  if (cert !== target) copyFileSync(file(`${cert}.crt`), files.certFile);
  if (key !== target) copyFileSync(file(`${key}.key`), files.keyFile);
  return files;
}

function secure(port: number, alpn?: string[]): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ...(alpn && { ALPNProtocols: alpn }),
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

async function certificateName(port: number): Promise<unknown> {
  const socket = await secure(port);
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return CN;
}

describe("with a certificate, the port", () => {
  it("speaks HTTP/2 and HTTP/1.1, as the client prefers", async () => {
    await using served = await serve({ tls: install("first", "first") });
    const h1 = await rawRequest(served.port, head("GET /a HTTP/1.1"), { alpn: ["http/1.1"] });
    expect(JSON.parse(h1?.body ?? "")).toMatchObject({ protocol: "h1" });

    const client = connectHttp2(`https://127.0.0.1:${served.port}`, { rejectUnauthorized: false });
    const stream = client.request({ ":path": "/a", ":method": "POST" }).setEncoding("utf8");
    stream.end("hi");
    const body = await new Promise<string>((resolve) => stream.once("data", resolve));
    expect(JSON.parse(body)).toMatchObject({ protocol: "h2", body: "hi" });
    client.destroy();

    const both = await secure(served.port, ["http/1.1", "h2"]);
    expect(both.alpnProtocol).toBe("h2");
    both.destroy();
  });

  it("speaks HTTP/1.1 with clients that know no ALPN, and with none that know only other protocols", async () => {
    await using served = await serve({ tls: install("first", "first") });
    const socket = await secure(served.port);
    socket.write(head("GET /a HTTP/1.1"));
    expect(String(await new Promise((resolve) => socket.once("data", resolve)))).toContain("200 OK");
    socket.destroy();
    await expect(secure(served.port, ["spdy/3"])).rejects.toThrow();
    expect(served.cut).toEqual(["handshake"]);
  });

  it("speaks nothing older than TLS 1.2", async () => {
    await using served = await serve({ tls: install("first", "first") });
    const old = connectTls({ port: served.port, host: "127.0.0.1", maxVersion: "TLSv1.1", minVersion: "TLSv1" });
    await new Promise((resolve) => old.once("error", resolve));
    expect(served.cut.length).toBeLessThanOrEqual(1);
    expect(await certificateName(served.port)).toBe("first");
  });

  it("refuses malformed requests as without", async () => {
    await using served = await serve({ tls: install("first", "first") });
    const options = { alpn: ["http/1.1"] };
    expect(await rawRequest(served.port, head("GET /a HTTP/1.1", ["Host: ["]), options)).toMatchObject({ status: 400 });
    expect(await rawRequest(served.port, "nonsense\r\n\r\n", options)).toMatchObject({ status: 400 });
  });

  it("closes connections that do not get through the handshake, and plaintext ones", async () => {
    await using served = await serve({ tls: install("first", "first"), limits: { handshakeMs: 150 } });
    const silent = await rawConnect(served.port);
    const plaintext = await rawConnect(served.port);
    plaintext.send(head("GET /a HTTP/1.1"));
    expect(await silent.ended).toBeLessThan(soonMs);
    await plaintext.ended;
    expect(served.cut).toEqual(["handshake", "handshake"]);
    expect(served.seen).toEqual([]);
    await expect.poll(() => served.listener.connections).toBe(0);
  });

  it("closes the oldest unfinished handshake when there are too many", async () => {
    await using served = await serve({ tls: install("first", "first"), limits: { maxUndecided: 2 } });
    const silent = [await rawConnect(served.port), await rawConnect(served.port)];
    expect(await certificateName(served.port)).toBe("first");
    await silent[0]?.ended;
    expect(served.cut).toEqual(["undecided_limit"]);
    for (const each of silent) each.destroy();
  });

  it.each([
    ["HTTP/1.1", ["http/1.1"], "408"],
    ["HTTP/2", ["h2"], ""],
  ])("closes %s connections that are silent after the handshake", async (_, alpn, said) => {
    await using served = await serve({ tls: install("first", "first"), limits: { headMs: 150, lingerMs: 50 } });
    const connection = await rawConnect(served.port, { alpn });
    expect(await connection.ended).toBeLessThan(soonMs);
    expect(connection.received).toContain(said);
  });

  it("survives clients that reset in the middle of the handshake", async () => {
    await using served = await serve({ tls: install("first", "first") });
    for (let i = 0; i < 5; i++) {
      const socket = connect({ port: served.port, host: "127.0.0.1" });
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.write(Buffer.from([22, 3, 1, 0, 200, 1]));
      socket.resetAndDestroy();
    }
    expect(await certificateName(served.port)).toBe("first");
  });

  it("drains", async () => {
    await using served = await serve({ tls: install("first", "first") });
    const idle = await rawConnect(served.port, { alpn: ["http/1.1"] });
    idle.send(head("GET /a HTTP/1.1"));
    await idle.reply();
    const client = connectHttp2(`https://127.0.0.1:${served.port}`, { rejectUnauthorized: false });
    client.on("error", () => {});
    client.request({ ":path": "/a" }).resume();
    await expect.poll(() => served.seen.length).toBe(2);
    expect(await served.listener.drain({ delayMs: 0, timeoutMs: 5000 })).toBe("clean");
    await idle.ended;
  });
});

describe("certificate files", () => {
  it("are read again when they change, once they fit together", async () => {
    const files = install("live", "first");
    await using served = await serve({ tls: files, tlsReloadMs: 20 });
    const established = await rawConnect(served.port, { alpn: ["http/1.1"] });
    expect(await certificateName(served.port)).toBe("first");

    install("live", "second", "first");
    await expect
      .poll(() => served.log.lines)
      .toMatchObject([{ message: "TLS certificate not reloaded", level: "warn" }]);
    expect(await certificateName(served.port)).toBe("first");
    install("live", "second");
    await expect.poll(() => served.log.lines.at(-1)).toMatchObject({ message: "TLS certificate reloaded" });
    expect(await certificateName(served.port)).toBe("second");

    rmSync(files.certFile);
    await expect.poll(() => served.log.lines.length).toBe(3);
    expect(await certificateName(served.port)).toBe("second");
    established.send(head("GET /a HTTP/1.1"));
    expect(await established.reply()).toMatchObject({ status: 200 });
    established.destroy();
  });

  it("must fit together, and be there, from the start", () => {
    const parts = { rpc() {}, http() {}, isRpc: () => false, log: silentLog };
    const mixed = { certFile: file("first.crt"), keyFile: file("second.key") };
    expect(() => createListener(parts, { tls: mixed })).toThrow(/key values mismatch/);
    expect(() => createListener(parts, { tls: { ...mixed, certFile: file("none") } })).toThrow(/ENOENT/);
    writeFileSync(file("broken.crt"), "no certificate");
    expect(() => createListener(parts, { tls: { ...mixed, certFile: file("broken.crt") } })).toThrow();
  });
});
