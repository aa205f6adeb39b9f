import type { ServerResponse } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import { compressionNegotiate } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { compressionGzip } from "@connectrpc/connect-node";
import type { HttpResponse } from "../http/http.js";
import { isHttp2 } from "./answer.js";
import { inEnvelopes, prefixBytes } from "./envelopes.js";

/** How a protocol has one message each way, and nothing else, on HTTP. */
export interface UnaryWire {
  readonly protocolName: "connect" | "grpc";
  /** Content types of requests. */
  readonly types: readonly string[];
  readonly binary: boolean;
  /** Of every answer that is good, before and behind it, where nobody adds to them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  /** Whether nothing is asked for but the call itself: neither a deadline nor anything to be unpacked. */
  isPlain(header: Headers, res: HttpResponse): boolean;
  /** The message in a request's body; undefined: not one alone, and as it is. */
  messageIn(body: Uint8Array): Uint8Array | undefined;
  answer(message: Uint8Array): WriteAnswer;
  /** Tells an error without metadata; undefined where that takes `maxBytes` or more. */
  refusal(error: ConnectError, maxBytes: number): WriteAnswer | undefined;
}

/** Writes an answer to who asked with these headers. */
export type WriteAnswer = (res: ServerResponse, asked: Headers) => void;

function connectWire(encoding: "proto" | "json"): UnaryWire {
  const type = `application/${encoding}`;
  return {
    protocolName: "connect",
    types: [type],
    binary: encoding === "proto",
    headers: { "content-type": type },
    trailers: {},
    isPlain: (header) =>
      header.get("connect-protocol-version") === "1" &&
      !header.has("connect-timeout-ms") &&
      !header.has("content-encoding"),
    messageIn: (body) => body,
    answer: (message) => whole(200, { "content-type": type }, message),
    refusal(error, maxBytes) {
      const body = errorToJsonBytes(error, undefined);
      if (body.length >= maxBytes) return undefined;
      return whole(codeToHttpStatus(error.code), { "content-type": "application/json" }, body);
    },
  };
}

function whole(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array): WriteAnswer {
  return (res) => {
    res.writeHead(status, { ...headers, "content-length": String(body.length) });
    res.end(body);
  };
}

function grpcWire(encoding: "proto" | "json"): UnaryWire {
  const type = `application/grpc+${encoding}`;
  const trailers = { "grpc-status": "0" };
  const write =
    (ends: Readonly<Record<string, string>>, message: Uint8Array | undefined): WriteAnswer =>
    (res, asked) => {
      const accepted = asked.get("grpc-accept-encoding");
      const { response: packing } = compressionNegotiate([compressionGzip], null, accepted, "grpc-accept-encoding");
      res.writeHead(200, { "content-type": type, ...(packing && { "grpc-encoding": packing.name }) });
      res.addTrailers(ends);
      res.end(message && inEnvelopes([message]));
    };
  return {
    protocolName: "grpc",
    types: encoding === "proto" ? ["application/grpc", type] : [type],
    binary: encoding === "proto",
    headers: { "content-type": type },
    trailers,
    isPlain: (header, res) => isHttp2(res) && !header.has("grpc-timeout") && !header.has("grpc-encoding"),
    messageIn(body) {
      const { buffer, byteOffset, length } = body;
      if (length < prefixBytes || body[0] !== 0) return undefined;
      const announced = new DataView(buffer, byteOffset).getUint32(1);
      return announced === length - prefixBytes ? body.subarray(prefixBytes) : undefined;
    },
    answer: (message) => write(trailers, message),
    refusal: (error) => write(Object.fromEntries(setTrailerStatus(new Headers(), error)), undefined),
  };
}

/** All that there are. */
export const unaryWires: readonly UnaryWire[] = [
  connectWire("proto"),
  connectWire("json"),
  grpcWire("proto"),
  grpcWire("json"),
];

const byType = new Map(unaryWires.flatMap((wire) => wire.types.map((type) => [type, wire])));

/** The wire of a request; undefined: of none of these, or something is asked for that only Connect does. */
export function unaryWireOf(header: Headers, res: HttpResponse): UnaryWire | undefined {
  const wire = byType.get(header.get("content-type") ?? "");
  return wire?.isPlain(header, res) ? wire : undefined;
}
