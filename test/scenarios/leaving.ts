// Callers that leave their streams: over every protocol, in every way, at any byte of the answer.

import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { Role, StreamCompleteRequestSchema } from "../../gen/codygateway/v1/completions_pb.js";

/**
 * How a stream is asked for, and what ends it: the connection closed, reset, or closed on the caller's side only; the stream
 * canceled; its session destroyed or told to go away; the caller's deadline.
 */
export type Leaving = readonly [protocol: Protocol, version: 1 | 2, how: How];

type Protocol = "sdk" | "connect" | "grpc" | "grpc-web";
type How = "close" | "reset" | "half-close" | "cancel" | "destroy" | "go-away" | "deadline";

export const leavings: readonly Leaving[] = [
  ["sdk", 1, "close"],
  ["sdk", 1, "reset"],
  ["sdk", 1, "half-close"],
  ["sdk", 2, "cancel"],
  ["sdk", 2, "destroy"],
  ["sdk", 2, "reset"],
  ["connect", 1, "close"],
  ["connect", 1, "reset"],
  ["connect", 1, "half-close"],
  ["connect", 1, "deadline"],
  ["connect", 2, "cancel"],
  ["connect", 2, "destroy"],
  ["connect", 2, "deadline"],
  ["grpc", 2, "cancel"],
  ["grpc", 2, "close"],
  ["grpc", 2, "destroy"],
  ["grpc", 2, "go-away"],
  ["grpc", 2, "deadline"],
  ["grpc-web", 1, "close"],
  ["grpc-web", 1, "reset"],
  ["grpc-web", 2, "cancel"],
  ["grpc-web", 2, "deadline"],
];

export interface AbortedStream {
  readonly port: number;
  readonly token: string;
  readonly leaving: Leaving;
  /** Bytes of the answer after which the caller leaves; 0: as soon as the request was sent. */
  readonly afterBytes: number;
  /** Of callers that leave by their deadline. */
  readonly deadlineMs: number;
}

/** Opens a stream of chat and leaves it. Resolves when its connection is over, with the bytes of the answer that came. */
export function abortedStream(stream: AbortedStream): Promise<number> {
  return stream.leaving[1] === 1 ? overHttp1(stream) : overHttp2(stream);
}

interface Request {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** An answer that takes its time. */
const prompt = "[[chunks=20 every=20]]";
const message = toBinary(
  StreamCompleteRequestSchema,
  create(StreamCompleteRequestSchema, {
    completion: {
      model: "openai/gpt-4o",
      input: {
        case: "chat",
        value: { messages: [{ role: Role.USER, parts: [{ kind: { case: "text", value: prompt } }] }] },
      },
    },
  }),
);
const envelope = Buffer.alloc(5);
envelope.writeUInt32BE(message.length, 1);
const typedBody = Buffer.concat([envelope, message]);
const nativeBody = Buffer.from(
  JSON.stringify({ model: "gpt-4o", stream: true, messages: [{ role: "user", content: prompt }] }),
);

function requestOf({ token, leaving: [protocol, , how], deadlineMs }: AbortedStream): Request {
  const caller = { authorization: `Bearer ${token}`, "x-sourcegraph-actor-uid": "1" };
  if (protocol === "sdk")
    return {
      path: "/openai/v1/chat/completions",
      headers: { ...caller, "content-type": "application/json" },
      body: nativeBody,
    };
  const timeout = protocol === "connect" ? ["connect-timeout-ms", `${deadlineMs}`] : ["grpc-timeout", `${deadlineMs}m`];
  return {
    path: "/codygateway.v1.CompletionsService/StreamComplete",
    headers: {
      ...caller,
      ...typedHeaders[protocol],
      ...(how === "deadline" && Object.fromEntries([timeout])),
    },
    body: typedBody,
  };
}

const typedHeaders: Readonly<Record<Exclude<Protocol, "sdk">, Record<string, string>>> = {
  connect: { "content-type": "application/connect+proto", "connect-protocol-version": "1" },
  grpc: { "content-type": "application/grpc", te: "trailers" },
  "grpc-web": { "content-type": "application/grpc-web+proto" },
};

function overHttp1(stream: AbortedStream): Promise<number> {
  const { path, headers, body } = requestOf(stream);
  const how = stream.leaving[2];
  const socket = connect({ port: stream.port, host: "127.0.0.1", allowHalfOpen: true });
  const fields = Object.entries({ host: "gateway.test", "content-length": body.length, ...headers });
  const head = `POST ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), body]));
  return new Promise((resolve) => {
    const leave = leaver(how, stream.afterBytes, () => {
      if (how === "reset") socket.resetAndDestroy();
      else if (how === "half-close") socket.end();
      else socket.destroy();
    });
    socket.on("connect", () => leave.sent());
    let answer = "";
    socket.on("data", (bytes) => {
      leave.received(bytes.length);
      answer += bytes.toString("latin1");
      // Its connection stays open.
      if (isWhole(answer)) socket.destroy();
    });
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve(leave.bytes));
  });
}

function isWhole(answer: string): boolean {
  const head = answer.indexOf("\r\n\r\n");
  if (head < 0) return false;
  const length = /^content-length: *(\d+)/im.exec(answer.slice(0, head))?.[1];
  if (length === undefined) return answer.endsWith("\r\n0\r\n\r\n");
  return answer.length >= head + 4 + Number(length);
}

function overHttp2(stream: AbortedStream): Promise<number> {
  const { path, headers, body } = requestOf(stream);
  const how = stream.leaving[2];
  let socket: Socket | undefined;
  const session: ClientHttp2Session = connectHttp2("http://gateway.test", {
    createConnection: () => (socket = connect(stream.port, "127.0.0.1")),
  });
  session.on("error", () => undefined);
  const call = session.request({ ":method": "POST", ":path": path, ...headers });
  call.on("error", () => undefined);
  call.end(body);
  return new Promise((resolve) => {
    const leave = leaver(how, stream.afterBytes, () => {
      if (how === "cancel") call.close(constants.NGHTTP2_CANCEL);
      else if (how === "close") socket?.destroy();
      else if (how === "reset") socket?.resetAndDestroy();
      else if (how === "destroy") session.destroy();
      else session.destroy(undefined, constants.NGHTTP2_INTERNAL_ERROR);
    });
    // Written to the connection, not only handed to the stream.
    session.on("connect", () => setImmediate(() => leave.sent()));
    call.on("data", (bytes: Buffer) => leave.received(bytes.length));
    call.on("close", () => session.destroy());
    session.on("close", () => resolve(leave.bytes));
  });
}

/** Counts what comes of an answer and leaves once it is enough. */
function leaver(how: How, afterBytes: number, leave: () => void) {
  let bytes = 0;
  let left = how === "deadline";
  const check = (): void => {
    if (left || bytes < afterBytes) return;
    left = true;
    leave();
  };
  return {
    sent: check,
    received(count: number): void {
      bytes += count;
      if (bytes > 0) check();
    },
    get bytes() {
      return bytes;
    },
  };
}
