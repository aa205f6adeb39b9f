import type { ServerResponse } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import { compressionNegotiate } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  errorToJsonBytes,
  parseTimeout as parseConnectTimeout,
} from "@connectrpc/connect/protocol-connect";
import { parseTimeout as parseGrpcTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { compressionGzip } from "@connectrpc/connect-node";
import type { HttpResponse } from "../http/http.js";
import { isHttp2 } from "./answer.js";
import { inEnvelopes, prefixBytes } from "./envelopes.js";

/** How a protocol has one message each way, and nothing else, on HTTP. */
export interface UnaryWire {
  readonly protocolName: "connect" | "grpc" | "grpc-web";
  /** Content types of requests. */
  readonly types: readonly string[];
  readonly binary: boolean;
  /** Of every answer that is good, before and behind it, where nobody adds to them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  /** Whether nothing is asked for but the call itself: neither of what is to be packed nor of what cannot be read. */
  isPlain(header: Headers, res: HttpResponse): boolean;
  /** How long the caller waits. */
  timeoutOf(header: Headers): ReturnType<typeof parseGrpcTimeout>;
  /** The message in a request's body; undefined: not one alone, and as it is. */
  messageIn(body: Uint8Array): Uint8Array | undefined;
  answer(message: Uint8Array): WriteAnswer;
  /** Tells an error without metadata; undefined where that takes `maxBytes` or more. */
  refusal(error: ConnectError, maxBytes: number): WriteAnswer | undefined;
}

/** Writes an answer to who asked with these headers. */
export type WriteAnswer = (res: ServerResponse, asked: Headers) => void;

/** Deadlines may be as late as can be. */
const anyTimeoutMs = Number.MAX_SAFE_INTEGER;

function connectWire(encoding: "proto" | "json"): UnaryWire {
  const type = `application/${encoding}`;
  const whole =
    (status: number, contentType: string, body: Uint8Array): WriteAnswer =>
    (res) => {
      res.writeHead(status, { "content-length": String(body.length), "content-type": contentType });
      res.end(body);
    };
  return {
    protocolName: "connect",
    types: [type],
    binary: encoding === "proto",
    headers: { "content-type": type },
    trailers: {},
    isPlain: (header) => header.get("connect-protocol-version") === "1" && !header.has("content-encoding"),
    timeoutOf: (header) => parseConnectTimeout(header.get("connect-timeout-ms"), anyTimeoutMs),
    messageIn: (body) => body,
    answer: (message) => whole(200, type, message),
    refusal(error, maxBytes) {
      const body = errorToJsonBytes(error, undefined);
      return body.length < maxBytes ? whole(codeToHttpStatus(error.code), "application/json", body) : undefined;
    },
  };
}

/** What gRPC and gRPC-Web have alike. */
function grpcFamily(type: string, encoding: "proto" | "json") {
  return {
    types: encoding === "proto" ? [type, `${type}+proto`] : [`${type}+json`],
    binary: encoding === "proto",
    headers: { "content-type": `${type}+${encoding}` },
    trailers: { "grpc-status": "0" },
    timeoutOf: (header: Headers) => parseGrpcTimeout(header.get("grpc-timeout"), anyTimeoutMs),
    messageIn(body: Uint8Array) {
      const { buffer, byteOffset, length } = body;
      if (length < prefixBytes || body[0] !== 0) return undefined;
      const announced = new DataView(buffer, byteOffset).getUint32(1);
      return announced === length - prefixBytes ? body.subarray(prefixBytes) : undefined;
    },
    /** The head of an answer: also what would have been packed, had it been larger. */
    headOf(asked: Headers): Record<string, string> {
      const accepted = asked.get("grpc-accept-encoding");
      const { response: packing } = compressionNegotiate([compressionGzip], null, accepted, "grpc-accept-encoding");
      return { ...this.headers, ...(packing && { "grpc-encoding": packing.name }) };
    },
  };
}

function grpcWire(encoding: "proto" | "json"): UnaryWire {
  const family = grpcFamily("application/grpc", encoding);
  const write =
    (trailers: Readonly<Record<string, string>>, message?: Uint8Array): WriteAnswer =>
    (res, asked) => {
      res.writeHead(200, family.headOf(asked));
      res.addTrailers(trailers);
      res.end(message && inEnvelopes([message]));
    };
  return {
    ...family,
    protocolName: "grpc",
    isPlain: (header, res) => isHttp2(res) && !header.has("grpc-encoding"),
    answer: (message) => write(family.trailers, message),
    refusal: (error) => write(Object.fromEntries(setTrailerStatus(new Headers(), error))),
  };
}

function grpcWebWire(encoding: "proto" | "json"): UnaryWire {
  const family = grpcFamily("application/grpc-web", encoding);
  const write =
    (body: Buffer): WriteAnswer =>
    (res, asked) => {
      res.writeHead(200, { ...family.headOf(asked), "content-length": String(body.length) });
      res.end(body);
    };
  const good = inTrailerEnvelope(Buffer.from("grpc-status: 0\r\n"));
  return {
    ...family,
    protocolName: "grpc-web",
    isPlain: (header) => !header.has("grpc-encoding"),
    answer: (message) => write(Buffer.concat([inEnvelopes([message]), good])),
    refusal(error, maxBytes) {
      const end = inTrailerEnvelope(trailerSerialize(setTrailerStatus(new Headers(), error)));
      return end.length < maxBytes ? write(end) : undefined;
    },
  };
}

/** The last message of gRPC-Web, which cannot count on trailers of HTTP. */
function inTrailerEnvelope(trailers: Uint8Array): Buffer {
  const bytes = inEnvelopes([trailers]);
  bytes[0] = trailerFlag;
  return bytes;
}

/** All that there are. */
export const unaryWires: readonly UnaryWire[] = [connectWire, grpcWire, grpcWebWire].flatMap((wireOf) => [
  wireOf("proto"),
  wireOf("json"),
]);

const byType = new Map(unaryWires.flatMap((wire) => wire.types.map((type) => [type, wire])));

/** The wire of a request; undefined: of none of these, or something is asked for that only Connect does. */
export function unaryWireOf(header: Headers, res: HttpResponse): UnaryWire | undefined {
  const wire = byType.get(header.get("content-type") ?? "");
  return wire?.isPlain(header, res) ? wire : undefined;
}
