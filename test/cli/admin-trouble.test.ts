// `admin` where the gateway is not there, is something else, or does not answer; and where nobody reads what is printed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { SyncSourceResponseSchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { run } from "../../src/cli/run.js";
import { adminTokens, operatorToken } from "../helpers/admin.js";
import { freePort } from "../helpers/free-port.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { gatewayFile } from "../helpers/process-files.js";
import { until } from "../helpers/redis.js";
import { fakeIo } from "./fake-io.js";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await testGateway({ env: { CODY_GATEWAY_ADMIN_TOKENS: adminTokens } });
});
afterAll(() => gateway[Symbol.asyncDispose]());

function command(url: string, credential = operatorToken) {
  const { io, written, state } = fakeIo({ CODY_GATEWAY_URL: url, CODY_GATEWAY_ADMIN_TOKEN: credential });
  return { written, state, run: (args: string) => run(["admin", ...args.split(" ")], io) };
}

async function admin(url: string, args: string, credential?: string) {
  const { written, run: go } = command(url, credential);
  return { code: await go(args), ...written };
}

/** A server that answers whatever it is asked in the same way; ends with the test. */
async function answering(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("cody-gateway admin ends with 69", () => {
  it.each<[string, RequestListener]>([
    ["a page", (_, res) => res.writeHead(200, { "content-type": "text/html" }).end("<html>hello</html>")],
    ["another API", (_, res) => res.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}')],
    ["bytes", (_, res) => res.writeHead(200, { "content-type": "application/proto" }).end(Buffer.from([255, 255, 1]))],
    ["a proxy that wants to know who asks", (_, res) => res.writeHead(401).end("who are you?")],
    ["a proxy whose gateway is away", (_, res) => res.writeHead(502, { "x-request-id": "1" }).end("bad gateway")],
    ["an address elsewhere", (_, res) => res.writeHead(302, { location: "http://127.0.0.1:1/" }).end()],
    ["half an answer", (_, res) => void res.writeHead(200, { "content-length": "9" }).write("1", () => res.destroy())],
  ])("where what answers is no gateway but %s", async (_, listener) => {
    const url = await answering(listener);

    for (const args of ["sources", "sync", "watch"]) {
      const { code, stderr } = await admin(url, args);
      expect([args, code]).toEqual([args, 69]);
      expect(stderr).toMatch(new RegExp(`^error: the gateway at ${url} cannot be reached: .+\\n$`));
    }
  });

  it("where what answers does not speak HTTP", async () => {
    const server = createTcpServer((socket) => socket.on("error", () => undefined).end("SSH-2.0-OpenSSH\r\n"));
    await once(server.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;

    expect((await admin(`http://127.0.0.1:${port}`, "sources")).code).toBe(69);
    expect((await admin(`https://127.0.0.1:${port}`, "sources")).code).toBe(69);
  });

  it("where administration is on another port, and says so", async () => {
    await using apart = await testGateway({
      env: { CODY_GATEWAY_ADMIN_TOKENS: adminTokens, CODY_GATEWAY_ADMIN_PORT: String(await freePort()) },
    });

    const { code, stderr } = await admin(apart.url, "sources");
    expect(code).toBe(69);
    expect(stderr).toContain("has no administration: HTTP 404\nWith CODY_GATEWAY_ADMIN_PORT it is on that port.");
    expect((await admin(apart.gateway.adminUrl, "sources")).code).toBe(0);
  });

  it("where nobody answers in a minute", async () => {
    let asked: () => void = () => undefined;
    const wasAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const url = await answering(() => asked());
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());

    const answer = admin(url, "sources");
    await wasAsked;
    vi.advanceTimersByTime(60_000);

    expect(await answer).toMatchObject({ code: 69, stderr: expect.stringContaining("timed out") });
  });
});

it("takes away how far a sync was before it says why it broke off", async () => {
  const started = create(SyncSourceResponseSchema, { source: "portal", event: { case: "started", value: {} } });
  const body = toBinary(SyncSourceResponseSchema, started);
  const url = await answering((_, res) => {
    res.writeHead(200, { "content-type": "application/connect+proto" });
    res.write(Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]), () => res.destroy());
  });
  const { io, written } = fakeIo({ CODY_GATEWAY_URL: url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken, NO_COLOR: "1" });

  expect(await run(["admin", "sync"], { ...io, stderr: { ...io.stderr, isTTY: true } })).toBe(69);

  const cleared = "\r\u001b[2K";
  expect(written.stderr.split(cleared)).toEqual(["", "portal …", expect.stringMatching(/^error: the gateway at /)]);
});

it("shows nothing of a credential that cannot be sent", async () => {
  for (const credential of ["a secret\nof two lines", `Bearer ${operatorToken}`, "geheimnis-\u{1f511}"]) {
    const { code, stderr } = await admin(gateway.url, "sources", credential);
    expect([code, stderr.split("\n")[0]]).toEqual([
      2,
      "error: expected CODY_GATEWAY_ADMIN_TOKEN to be the credential alone, without spaces or line breaks",
    ]);
  }
});

/** Asks the gateway in the place of who asks. */
async function passOn(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { authorization = "", "content-type": type = "" } = req.headers;
  const body = Buffer.concat(await req.toArray());
  const headers = { authorization, "content-type": type, "connect-protocol-version": "1" };
  const answer = await fetch(`${gateway.url}${req.url}`, { method: "POST", headers, body });
  res.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
  res.end(Buffer.from(await answer.arrayBuffer()));
}

describe("a view that is shown again and again", () => {
  it("outlives a gateway that does not answer for a while", async () => {
    let away = false;
    const url = await answering((req, res) => {
      if (away) res.writeHead(502).end();
      else void passOn(req, res);
    });
    const { written, state, run: go } = command(url);
    const shown = (): number => written.stdout.split("configuration file").length - 1;

    const done = go("sources --watch");
    await until(async () => shown() === 1);
    away = true;
    await until(async () => written.stderr.includes("cannot be reached: HTTP 502"));
    away = false;
    await until(async () => shown() === 2);
    state.signal?.("SIGINT");

    expect(await done).toBe(0);
  });

  it("does not wait for what is not there at first", async () => {
    const url = await answering((_, res) => res.writeHead(502).end());

    expect((await admin(url, "usage static/acme --watch")).code).toBe(69);
  });
});

it("ends a view of activity once nobody reads it, and that is no failure", async () => {
  const env = { CODY_GATEWAY_URL: gateway.url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken };
  const child = spawn(process.execPath, [gatewayFile, "admin", "watch"], { env, stdio: "pipe" });
  onTestFinished(() => void child.kill("SIGKILL"));
  child.stdout.once("data", () => child.stdout.destroy());

  await until(async () => {
    await fetch(`${gateway.url}/openai/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: '{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}',
    });
    return child.exitCode !== null || child.signalCode !== null;
  });

  expect(child.exitCode).toBe(0);
});
