// Connect, gRPC and gRPC-Web over Node's requests. What connect-node's own adapter does, but failures come back to the caller
// instead of ending the process or going to the console.

import { setMaxListeners } from "node:events";
import { Code, ConnectError, type ConnectRouter, createConnectRouter, type Interceptor } from "@connectrpc/connect";
import { createAsyncIterable, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import type { Handlers } from "./dispatch.js";

/** What the RPCs are made of. */
export interface RpcParts {
  /** Registers the services. */
  routes(router: ConnectRouter): void;
  /** First is outermost. They read the request id from the request header `x-request-id`. */
  readonly interceptors: readonly Interceptor[];
  /** Aborts all calls, as `unavailable`: `hardStop` of the listener. */
  readonly shutdownSignal: AbortSignal;
}

/** Sizes of messages. */
export interface RpcOptions {
  /** Largest message either way, decoded. Default 16 MiB. Services may set less in `routes`. */
  readonly maxMessageBytes?: number;
  /** Responses smaller than this go uncompressed: compressing costs more than it saves. Default 32 KiB. */
  readonly compressMinBytes?: number;
}

// Up to here one buffer is made by what the request says its length is, above it grows as bytes arrive.
const trustedLength = 64 * 1024;

/** The RPC half of what the listener serves. */
export function createRpcHandler(parts: RpcParts, options: RpcOptions = {}): Pick<Handlers, "rpc" | "isRpc"> {
  const maxBytes = options.maxMessageBytes ?? 16 * 1024 * 1024;
  const router = createConnectRouter({
    readMaxBytes: maxBytes,
    writeMaxBytes: maxBytes,
    acceptCompression: [compressionGzip],
    compressMinBytes: options.compressMinBytes ?? 32 * 1024,
    // Pages of other origins can make browsers post JSON, but not with this header. GET has a parameter instead.
    requireConnectProtocolHeader: true,
    interceptors: [...parts.interceptors],
    shutdownSignal: unavailableOn(parts.shutdownSignal),
  });
  parts.routes(router);
  const methods = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return {
    isRpc: (path) => methods.has(path),

    rpc(req, res, { path }) {
      const method = methods.get(path);
      if (!method) throw new Error("no such RPC");
      res.once("close", resumeWriter);
      const request = {
        ...universalRequestFromNodeRequest(req, res, undefined, undefined),
        // What is not read to its end must not end the connection: the answer would be lost.
        body: req.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>,
      };
      if (Number(request.header.get("content-length") ?? 0) > trustedLength && !oversized(req, maxBytes)) {
        request.header.delete("content-length");
      }
      boundDeadline(request.header);
      return method(request)
        .then(tellOversize)
        .then((response) => universalResponseToNodeResponse(response, res));
    },
  };
}

/** The longest that a timer waits. Node's fire at once when they are told to wait longer. */
const maxTimerMs = 2_147_483_647;
/** Of `grpc-timeout`; shorter units cannot say so much. */
const unitsMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000 };

/** Deadlines that no timer can keep become the latest that one can: services have limits of their own, which are shorter. */
function boundDeadline(header: Headers): void {
  const connect = header.get("connect-timeout-ms") ?? "";
  if (/^\d{10}$/.test(connect) && Number(connect) > maxTimerMs) header.set("connect-timeout-ms", String(maxTimerMs));
  const [, value, unit = ""] = /^(\d{1,8})([HMS])$/.exec(header.get("grpc-timeout") ?? "") ?? [];
  if (Number(value) * (unitsMs[unit] ?? 0) > maxTimerMs)
    header.set("grpc-timeout", `${Math.floor(maxTimerMs / 1000)}S`);
}

/** Node 20 never resumes a generator that waits to write when its client leaves. This does, and harms no other version. */
function resumeWriter(this: HttpResponse): void {
  if (!this.writableFinished) this.emit("drain");
}

function oversized(req: HttpRequest, maxBytes: number): boolean {
  return Number(req.headers["content-length"]) > maxBytes;
}

/** Connect tells a message that is too large with 429, on which clients try again. 413 says that it is no use. */
async function tellOversize(response: UniversalServerResponse): Promise<UniversalServerResponse> {
  if (response.status !== 429 || !response.body) return response;
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  const body = createAsyncIterable(chunks);
  if (!Buffer.concat(chunks).includes("configured readMaxBytes")) return { ...response, body };
  const header = new Headers(response.header);
  header.set("x-should-retry", "false");
  return { ...response, status: 413, header, body };
}

function unavailableOn(signal: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => {
    const reason: unknown = signal.reason;
    controller.abort(new ConnectError("server is shutting down", Code.Unavailable, undefined, undefined, reason));
  };
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  // Every call listens.
  setMaxListeners(0, controller.signal);
  return controller.signal;
}
