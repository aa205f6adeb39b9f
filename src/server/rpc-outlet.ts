import type { ServerResponse } from "node:http";
import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  createMethodSerializationLookup,
  type Serialization,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import type { Outlet } from "../api/outlet.js";
import type { HttpResponse } from "../http/http.js";
import { isGone } from "./answer.js";
import { inEnvelopes } from "./envelopes.js";

/** The outlet of one call. */
export interface RpcOutlet extends Outlet {
  /** Connect is about to write this answer. Nothing is written past it before it has written the head. */
  begin(answer: UniversalServerResponse): void;
}

/** Makes outlets for a method's calls. Messages of `maxBytes` and more are left to Connect, which may have to compress them. */
export function createRpcOutlets(method: DescMethod, maxBytes: number): (res: HttpResponse) => RpcOutlet {
  const limits = { readMaxBytes: maxBytes, writeMaxBytes: maxBytes };
  const serialization = createMethodSerializationLookup(method, undefined, undefined, limits);

  return (res) => {
    let format: Serialization<Message> | undefined;
    let full = false;
    return {
      begin({ header }) {
        const [, encoding] = enveloped.exec(header?.get("content-type") ?? "") ?? [];
        if (encoding !== undefined) format = serialization.getO(encoding === "proto");
      },
      write(messages) {
        if (!format || isGone(res) || !res.headersSent || res.writableEnded) return 0;
        const serialized: Uint8Array[] = [];
        for (const message of messages) {
          const bytes = serialize(message, format);
          if (bytes === undefined || bytes.length >= maxBytes) break;
          serialized.push(bytes);
        }
        if (serialized.length === 0) return 0;
        // Both HTTP versions' responses do all that is used here alike.
        full = !(res as ServerResponse).write(inEnvelopes(serialized));
        if (full) res.once("drain", () => (full = false));
        return serialized.length;
      },
      isFull: () => full,
      onDrain: (callback) => void res.once("drain", callback),
    };
  };
}

/** The kinds of answers that are such a stream, in all protocols alike: each message behind a byte of flags and its length. */
const enveloped = /^application\/(?:connect|grpc|grpc-web)\+(proto|json)$/;

/** Undefined: it cannot be; Connect is to tell so. */
function serialize(message: Message, format: Serialization<Message>): Uint8Array | undefined {
  try {
    return format.serialize(message);
  } catch {
    return undefined;
  }
}
