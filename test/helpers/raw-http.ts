// HTTP/1.1 over bare sockets: sends what no client library would, and reads what comes back.

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** One HTTP/1.1 response. */
export interface RawReply {
  readonly status: number;
  /** Names in lower case; of several with one name, the last. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawConnection {
  readonly socket: Socket;
  send(bytes: string | Buffer): void;
  /** The next response in order; undefined when the connection ends without one. */
  reply(): Promise<RawReply | undefined>;
  /** Everything received so far, as latin1. */
  readonly received: string;
  /** Resolves when the peer has ended or reset the connection, with the milliseconds it was open. */
  readonly ended: Promise<number>;
  destroy(): void;
}

export interface RawOptions {
  /** TLS with these application protocols. The certificate is not verified. */
  readonly alpn?: readonly string[];
}

/** Opens a connection to this machine. */
export async function rawConnect(port: number, options: RawOptions = {}): Promise<RawConnection> {
  const socket: Socket = options.alpn
    ? connectTls({ port, host: "127.0.0.1", ALPNProtocols: [...options.alpn], rejectUnauthorized: false })
    : connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const openedAt = performance.now();
  let chunks: Buffer[] = [];
  const received = (): Buffer => {
    if (chunks.length > 1) chunks = [Buffer.concat(chunks)];
    return chunks[0] ?? Buffer.alloc(0);
  };
  let over = false;
  let wake = noone;
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    wake();
  });
  const ended = new Promise<number>((resolve) => {
    const end = (): void => {
      over = true;
      wake();
      resolve(performance.now() - openedAt);
    };
    socket.on("end", end);
    socket.on("error", end);
    socket.on("close", end);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once(options.alpn ? "secureConnect" : "connect", resolve);
    socket.once("error", reject);
  });
  let at = 0;
  return {
    socket,
    send: (bytes) => void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    async reply() {
      for (;;) {
        const parsed = parseReply(received().subarray(at), over);
        if (parsed) {
          at += parsed.length;
          // 100 Continue announces the response, it is none.
          if (parsed.reply.status >= 200) return parsed.reply;
          continue;
        }
        if (over) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    get received() {
      return received().toString("latin1");
    },
    ended,
    destroy: () => void socket.destroy(),
  };
}

function noone(): void {}

/** Sends `bytes` over a connection of its own and reads one response. */
export async function rawRequest(port: number, bytes: string, options?: RawOptions): Promise<RawReply | undefined> {
  const connection = await rawConnect(port, options);
  connection.send(bytes);
  const reply = await connection.reply();
  connection.destroy();
  return reply;
}

/** A request as text. `Host` is there unless `headers` has it under any capitals. */
export function head(line: string, headers: readonly string[] = [], body = ""): string {
  const host = headers.some((each) => /^host\s*:/i.test(each)) ? [] : ["Host: gateway.test"];
  return `${[line, ...host, ...headers].join("\r\n")}\r\n\r\n${body}`;
}

function parseReply(bytes: Buffer, over: boolean): { reply: RawReply; length: number } | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [line = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1]);
  if (Number.isNaN(status)) throw new Error(`no status line: ${JSON.stringify(line)}`);
  const headers = Object.fromEntries(
    lines.map((each) => {
      const colon = each.indexOf(":");
      return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()];
    }),
  );
  const start = end + 4;
  const reply = (body: string, length: number) => ({ reply: { status, headers, body }, length });
  if (status < 200 || status === 204 || status === 304) return reply("", start);
  if (headers["transfer-encoding"] === "chunked") return parseChunks(bytes, start, reply);
  const announced = headers["content-length"];
  if (announced === undefined) return over ? reply(bytes.toString("latin1", start), bytes.length) : undefined;
  const length = start + Number(announced);
  return bytes.length < length ? undefined : reply(bytes.toString("latin1", start, length), length);
}

function parseChunks<T>(bytes: Buffer, start: number, reply: (body: string, length: number) => T): T | undefined {
  let body = "";
  for (let at = start; ; ) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (bytes.length < line + 2 + size + 2) return undefined;
    body += bytes.toString("latin1", line + 2, line + 2 + size);
    at = line + 2 + size + 2;
    if (size === 0) return reply(body, at);
  }
}
