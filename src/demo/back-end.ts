// A server for what the gateway gets its actors from: HTTP/1.1 and HTTP/2 on one port, with or without TLS, and faults on request.

import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http";
import { constants, createServer as createHttp2, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createTls } from "node:tls";
import { createFaults, type Fault, type Faults } from "./faults.js";

/** What all demo back ends have in common. */
export interface DemoBackEnd extends AsyncDisposable, Pick<Faults, "fail" | "heal"> {
  /** Begins to listen and resolves to `url`. Port 0 takes a free one. */
  listen(port?: number, host?: string): Promise<string>;
  /** Where it is: `http://127.0.0.1:4711`. */
  readonly url: string;
  /** Stops listening and ends all connections. It can listen again, on the same port too. */
  close(): Promise<void>;
}

export interface DemoBackEndOptions {
  /** Serves TLS with this certificate and key, PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Address in `url`, where it is not the one that is listened on: the name of the certificate. */
  readonly hostname?: string;
}

/** Requests of HTTP/2 come in the shape of those of HTTP/1.1. */
type Handler = (req: IncomingMessage, res: ServerResponse) => void | Promise<void>;

const nonsense = Buffer.from("\u0000\u0001\u0002 this is no answer {]");
const page = "<html><head><title>Error</title></head><body><h1>Server Error</h1></body></html>";

/** A back end whose requests `handle` answers while nothing else is asked for. */
export function createBackEnd(handle: Handler, options: DemoBackEndOptions = {}): DemoBackEnd {
  const sockets = new Set<Socket>();
  const faults = createFaults(({ kind }) => {
    if (kind === "refuse" || kind === "no-handshake") for (const socket of sockets) socket.resetAndDestroy();
  });
  const receive = (req: IncomingMessage, res: ServerResponse): void => {
    answer(req, res).catch((error: unknown) => {
      if (!res.headersSent) res.writeHead(500, { "content-type": "text/plain" });
      res.end(`the demo back end failed: ${String(error)}`);
    });
  };
  const http1 = createHttp1({ keepAliveTimeout: 120_000 }, receive);
  const http2 = createHttp2().on("request", receive);
  const tls = options.tls && createTls({ ...options.tls, ALPNProtocols: ["h2", "http/1.1"] });
  tls?.on("secureConnection", (socket) => (socket.alpnProtocol === "h2" ? http2 : http1).emit("connection", socket));
  // Who does not trust the certificate leaves in the middle of the handshake.
  tls?.on("tlsClientError", () => {});
  let url = "";

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    const fault = faults.ofConnection();
    if (fault?.kind === "refuse") socket.resetAndDestroy();
    else if (fault) socket.end(nonsense);
    else if (tls) tls.emit("connection", socket);
    else sniff(socket);
  });

  function sniff(socket: Socket): void {
    socket.once("readable", () => {
      const head = socket.read() as Buffer | null;
      if (!head) return;
      socket.unshift(head);
      // HTTP/2 with prior knowledge begins with `PRI`; on loopback the first bytes come together.
      (head.toString("latin1", 0, 3) === "PRI" ? http2 : http1).emit("connection", socket);
    });
  }

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const fault = faults.ofRequest(req.url ?? "");
    if (fault?.kind === "slow") await sleep(fault.delayMs, undefined, { ref: false });
    if (!fault || fault.kind === "slow") await handle(req, res);
    else await misbehave(fault, req, res);
  }

  const close = async (): Promise<void> => {
    if (!server.listening) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  };

  return {
    async listen(port = 0, host = "127.0.0.1") {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          resolve();
        });
      });
      const { port: taken } = server.address() as AddressInfo;
      url = `${tls ? "https" : "http"}://${options.hostname ?? host}:${taken}`;
      return url;
    },
    get url() {
      return url;
    },
    fail: faults.fail,
    heal: faults.heal,
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function misbehave(fault: Fault, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const contentType = { "content-type": req.headers["content-type"] ?? "application/json" };
  switch (fault.kind) {
    case "status":
      res.writeHead(fault.status, { "content-type": "text/html", ...fault.headers });
      return void res.end(page);
    case "garbage":
      res.writeHead(200, contentType);
      return void res.end(fault.bytes ?? nonsense);
    case "cut":
      res.writeHead(200, contentType);
      return void res.write(fault.bytes ?? nonsense, () => breakOff(req, res));
    default:
      // Hangs: whoever asked has to give up.
      await new Promise<void>((resolve) => res.once("close", resolve));
  }
}

function breakOff(req: IncomingMessage, res: ServerResponse & { readonly stream?: ServerHttp2Stream }): void {
  if (res.stream) res.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else req.socket.resetAndDestroy();
}

/** All of a request's body. */
export async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
