// Connect, gRPC and gRPC-Web over Node's requests. What connect-node's own adapter does, but failures come back to the caller
// instead of ending the process or going to the console.

import type { IncomingHttpHeaders } from "node:http";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextValues,
  createServiceImplSpec,
  type Interceptor,
} from "@connectrpc/connect";
import { createAsyncIterable, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import { compressionGzip, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { setOutlet } from "../api/outlet.js";
import { setSpan } from "../auth/call-span.js";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import { createShortLivedSet, type Placed } from "../lib/short-lived.js";
import type { Span } from "../lib/span.js";
import { isGone } from "./answer.js";
import type { Handlers } from "./dispatch.js";
import { createRpcOutlets } from "./rpc-outlet.js";
import { universalRequestOf } from "./rpc-request.js";
import { createRpcUnary, outcomeInterceptor, type ServeUnary, type UnaryCall } from "./rpc-unary.js";

/** What the RPCs are made of. */
export interface RpcParts {
  /** Registers the services. */
  routes(router: ConnectRouter): void;
  /** First is outermost. They read the request id from the request header `x-request-id`. */
  readonly interceptors: readonly Interceptor[];
  /** When to begin with a call. Undefined: now. Default: now, whatever the call. */
  readonly turnOf?: ((path: string, headers: IncomingHttpHeaders) => Promise<void> | undefined) | undefined;
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

/** The RPC half of what the listener serves. */
export function createRpcHandler(parts: RpcParts, options: RpcOptions = {}): Pick<Handlers, "rpc" | "isRpc"> {
  const maxBytes = options.maxMessageBytes ?? 16 * 1024 * 1024;
  const compressMinBytes = options.compressMinBytes ?? 32 * 1024;
  const plainBytes = Math.min(compressMinBytes, maxBytes);
  const router = createConnectRouter({
    readMaxBytes: maxBytes,
    writeMaxBytes: maxBytes,
    acceptCompression: [compressionGzip],
    compressMinBytes,
    // Pages of other origins can make browsers post JSON, but not with this header. GET has a parameter instead.
    requireConnectProtocolHeader: true,
    interceptors: [outcomeInterceptor, ...parts.interceptors],
  });
  const unary = new Map<string, ServeUnary>();
  parts.routes({
    ...router,
    service(service, implementation, more) {
      router.service(service, implementation, more);
      for (const spec of Object.values(createServiceImplSpec(service, implementation).methods)) {
        const path = `/${service.typeName}/${spec.method.name}`;
        if (spec.kind === "unary") unary.set(path, createRpcUnary(spec, parts.interceptors, plainBytes));
      }
      return this;
    },
  });
  const calls = createCalls(parts.shutdownSignal);
  const methods = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const streaming = router.handlers.filter(({ method }) => method.methodKind === "server_streaming");
  const outlets = new Map(
    streaming.map(({ requestPath, method }) => [requestPath, createRpcOutlets(method, plainBytes)]),
  );

  function serve(req: HttpRequest, res: HttpResponse, path: string, span: Span | undefined): Promise<void> {
    const method = methods.get(path);
    if (!method) throw new Error("no such RPC");
    const contextValues = createContextValues();
    if (span) setSpan(contextValues, span);
    const outlet = outlets.get(path)?.(res);
    if (outlet) setOutlet(contextValues, outlet);
    const aborting = calls.open(res);
    const call = { ...universalRequestOf(req, aborting.signal, maxBytes), contextValues };
    const byConnect = (rest: UnaryCall): Promise<void> =>
      method(rest)
        .then(tellOversize)
        .then((answer) => {
          outlet?.begin(answer);
          return universalResponseToNodeResponse(answer, res);
        });
    const past = unary.get(path);
    return past ? past(call, { req, res, aborting }).then((rest) => rest && byConnect(rest)) : byConnect(call);
  }

  return {
    isRpc: (path) => methods.has(path),

    rpc(req, res, { path, span }) {
      const turn = parts.turnOf?.(path, req.headers);
      if (!turn) return serve(req, res, path, span);
      // Of who has left meanwhile nobody would hear any more.
      return turn.then(() => (isGone(res) ? undefined : serve(req, res, path, span)));
    },
  };
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

/** A call under way. */
interface Call extends Placed {
  readonly aborting: AbortController;
}

/**
 * Calls, so that all of them can be ended. Were they to listen to one signal, as Connect would have it, none would be let go of:
 * a listener that was removed still holds the one that was added after it.
 */
function createCalls(shutdown: AbortSignal): { open(res: HttpResponse): AbortController } {
  const live = createShortLivedSet<Call>();

  function end({ aborting }: Call): void {
    const reason: unknown = shutdown.reason;
    aborting.abort(new ConnectError("server is shutting down", Code.Unavailable, undefined, undefined, reason));
  }

  shutdown.addEventListener(
    "abort",
    () => {
      for (const call of live) end(call);
    },
    { once: true },
  );

  return {
    open(res) {
      const call = { aborting: new AbortController(), place: -1 };
      live.add(call);
      if (shutdown.aborted) end(call);
      res.once("close", () => {
        live.delete(call);
        // Then nobody works on it any more.
        if (res.writableEnded) return;
        // Node 20 never resumes a generator that waits to write when its client leaves. This does, and harms no other version.
        res.emit("drain");
        call.aborting.abort();
      });
      return call.aborting;
    },
  };
}
