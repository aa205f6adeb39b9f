// Callers that leave their streams.

import { type ClientHttp2Session, connect as connectHttp2, constants, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { Role, StreamCompleteRequestSchema } from "../../gen/codygateway/v1/completions_pb.js";

/** The protocol, and what ends it. */
export type Leaving = readonly [
  protocol: "http1" | "connect" | "grpc",
  how: "close" | "reset" | "half-close" | "cancel" | "destroy",
];

export const leavings: readonly Leaving[] = [
  ["http1", "close"],
  ["http1", "reset"],
  ["http1", "half-close"],
  ["connect", "cancel"],
  ["connect", "close"],
  ["connect", "destroy"],
  ["grpc", "cancel"],
  ["grpc", "destroy"],
];

/** Opens a stream of chat and leaves it after `afterMs`. Resolves when its connection is over. */
export function abortedStream(port: number, token: string, [protocol, how]: Leaving, afterMs: number): Promise<void> {
  return protocol === "http1" ? http1(port, token, how, afterMs) : http2(port, token, protocol, how, afterMs);
}

function http1(port: number, token: string, how: Leaving[1], afterMs: number): Promise<void> {
  const body = JSON.stringify({ model: "gpt-4o", stream: true, messages: [{ role: "user", content: "hello" }] });
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.write(
    [
      "POST /openai/v1/chat/completions HTTP/1.1",
      "Host: gateway.test",
      `Authorization: Bearer ${token}`,
      "Content-Type: application/json",
      `Content-Length: ${Buffer.byteLength(body)}`,
      "",
      body,
    ].join("\r\n"),
  );
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      if (how === "reset") socket.resetAndDestroy();
      else if (how === "half-close") socket.end();
      else socket.destroy();
    }, afterMs);
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    // Of an answer to the end on a connection that is only half closed, the server closes the other half.
    socket.resume();
  });
}

function http2(
  port: number,
  token: string,
  protocol: "connect" | "grpc",
  how: Leaving[1],
  afterMs: number,
): Promise<void> {
  const session: ClientHttp2Session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  const message = toBinary(
    StreamCompleteRequestSchema,
    create(StreamCompleteRequestSchema, {
      completion: {
        model: "openai/gpt-4o",
        input: {
          case: "chat",
          value: { messages: [{ role: Role.USER, parts: [{ kind: { case: "text", value: "hello" } }] }] },
        },
      },
    }),
  );
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(message.length, 1);
  const fields: OutgoingHttpHeaders = {
    ":method": "POST",
    ":path": "/codygateway.v1.CompletionsService/StreamComplete",
    authorization: `Bearer ${token}`,
    ...(protocol === "grpc"
      ? { "content-type": "application/grpc", te: "trailers" }
      : { "content-type": "application/connect+proto", "connect-protocol-version": "1" }),
  };
  const stream = session.request(fields);
  stream.on("error", () => undefined);
  stream.resume();
  stream.end(Buffer.concat([envelope, message]));
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      if (how === "cancel") stream.close(constants.NGHTTP2_CANCEL);
      else if (how === "destroy") session.destroy();
      else session.destroy(undefined, constants.NGHTTP2_INTERNAL_ERROR);
    }, afterMs);
    stream.on("close", () => session.destroy());
    session.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
