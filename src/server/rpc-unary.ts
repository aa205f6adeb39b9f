// Calls with one message each way, past Connect: most of what such a call costs there are signals, copies of headers and iterables
// that it has no need of. What is unusual is Connect's to answer.

import type { ServerResponse } from "node:http";
import { create, type Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextKey,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import {
  createAsyncIterable,
  createMethodSerializationLookup,
  type UniversalServerRequest,
} from "@connectrpc/connect/protocol";
import type { HttpRequest, HttpResponse } from "../http/http.js";
import { bodyOf } from "./rpc-request.js";
import { type UnaryWire, unaryWireOf, unaryWires } from "./rpc-unary-wire.js";

/** A call as Connect takes it. */
export type UnaryCall = UniversalServerRequest & Required<Pick<UniversalServerRequest, "contextValues">>;

/**
 * Serves a call, which `aborting` ends; resolves with what is left of it for Connect to serve. Undefined: nothing, it is answered.
 */
export type ServeUnary = (
  call: UnaryCall,
  on: { readonly req: HttpRequest; readonly res: HttpResponse; readonly aborting: AbortController },
) => Promise<UnaryCall | undefined>;

type UnarySpec = Extract<MethodImplSpec, { readonly kind: "unary" }>;
type Invoke = ReturnType<Interceptor>;

const outcomeKey = createContextKey<ReturnType<Invoke> | undefined>(undefined, {
  description: "what became of the call",
});

const timeoutKey = createContextKey<HandlerContext["timeoutMs"]>(() => undefined, {
  description: "how long the caller still waits",
});

/** Has Connect answer with what became of a call that was served past it. To be the outermost. */
export const outcomeInterceptor: Interceptor = (next) => (call) => call.contextValues.get(outcomeKey) ?? next(call);

/** Serves calls of a method. Messages of `maxBytes` and more, either way, are left to Connect. */
export function createRpcUnary(spec: UnarySpec, interceptors: readonly Interceptor[], maxBytes: number): ServeUnary {
  const limits = { readMaxBytes: maxBytes, writeMaxBytes: maxBytes };
  const { getI, getO } = createMethodSerializationLookup(spec.method, undefined, undefined, limits);
  const chains = new Map(unaryWires.map((wire) => [wire, chainOf(spec, interceptors, wire)]));

  return async (call, { req, res, aborting }) => {
    const wire = unaryWireOf(call.header, res);
    const invoke = wire && chains.get(wire);
    if (!invoke) return call;
    const { timeoutMs, error: unreadable } = wire.timeoutOf(call.header);
    if (unreadable) return call;
    const calledAt = Date.now();
    const body = await readUpTo(req, maxBytes);
    if (!(body instanceof Uint8Array)) return { ...call, body };
    const bytes = wire.messageIn(body);
    const message = bytes && attempt(() => getI(wire.binary).parse(bytes));
    if (!message) return { ...call, body: createAsyncIterable([body]) };

    const deadline = timeoutMs === undefined ? undefined : startDeadline(calledAt + timeoutMs, aborting);
    if (deadline) call.contextValues.set(timeoutKey, deadline.timeoutMs);
    const outcome = invoke(requestOf(call, spec, message));
    const write = await outcome.then(
      (answered) => {
        if (!isPlain(answered, wire)) return undefined;
        const answer = attempt(() => getO(wire.binary).serialize(answered.message));
        return answer && answer.length < maxBytes ? wire.answer(answer) : undefined;
      },
      (error: unknown) => (isPlainError(error) ? attempt(() => wire.refusal(error, maxBytes)) : undefined),
    );
    deadline?.stop();
    if (!write) {
      call.contextValues.set(outcomeKey, outcome);
      return { ...call, body: createAsyncIterable([body]) };
    }
    // Both HTTP versions' responses do all that is used here alike.
    write(res as ServerResponse, call.header);
    return undefined;
  };
}

/** Undefined: it throws, as it will for Connect. */
function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    return undefined;
  }
}

/** What becomes of a call, with the interceptors around its handler. Rejects, and does not throw. */
function chainOf(spec: UnarySpec, interceptors: readonly Interceptor[], wire: UnaryWire): Invoke {
  const { method } = spec;
  const service = method.parent;
  const handle = async (request: UnaryRequest) => {
    const header = new Headers(wire.headers);
    const trailer = new Headers(wire.trailers);
    const context: HandlerContext = {
      service,
      method,
      protocolName: wire.protocolName,
      requestMethod: request.requestMethod,
      url: request.url,
      signal: request.signal,
      timeoutMs: request.contextValues.get(timeoutKey),
      requestHeader: request.header,
      responseHeader: header,
      responseTrailer: trailer,
      values: request.contextValues,
    };
    const message = create(method.output, await spec.impl(request.message, context));
    return { stream: false, service, method, message, header, trailer } as const;
  };
  const chain = interceptors.reduceRight<Invoke>((next, each) => each(next), handle as Invoke);
  return async (request) => chain(request);
}

/** Whether nobody has added to an answer's headers and trailers, or taken from them. */
function isPlain(answer: Awaited<ReturnType<Invoke>>, wire: UnaryWire): answer is UnaryResponse {
  return !answer.stream && isAs(answer.header, wire.headers) && isAs(answer.trailer, wire.trailers);
}

/** Whether an error is told by its code, message and details alone. */
function isPlainError(error: unknown): error is ConnectError {
  return error instanceof ConnectError && isAs(error.metadata, {});
}

function isAs(headers: Headers, made: Readonly<Record<string, string>>): boolean {
  let left = Object.keys(made).length;
  for (const [name, value] of headers) {
    if (made[name] !== value) return false;
    left--;
  }
  return left === 0;
}

/** Ends a call when its caller does not wait any more, by the clock of `Date`. */
function startDeadline(endsAt: number, aborting: AbortController): { timeoutMs(): number; stop(): void } {
  const timeoutMs = (): number => endsAt - Date.now();
  const expire = (): void => aborting.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
  const timer = setTimeout(expire, timeoutMs());
  if (timeoutMs() <= 0) expire();
  return { timeoutMs, stop: () => clearTimeout(timer) };
}

function requestOf(
  { method: requestMethod, url, signal, header, contextValues }: UnaryCall,
  spec: UnarySpec,
  message: Message,
): UnaryRequest {
  const { method } = spec;
  return { stream: false, service: method.parent, method, requestMethod, url, signal, header, contextValues, message };
}

/** The body as a whole; where it has `maxBytes` and more, what is to be read in its place. */
function readUpTo(req: HttpRequest, maxBytes: number): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes < maxBytes) return;
      req.off("data", take);
      req.pause();
      resolve(withRest(chunks, req));
    };
    req.on("data", take);
    req.once("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)));
    // Whatever ends a request early, it is closed then.
    req.once("close", () => {
      if (!req.readableEnded) reject(Object.assign(new Error("request body broke off"), { code: "ECONNRESET" }));
    });
  });
}

async function* withRest(chunks: readonly Buffer[], req: HttpRequest): AsyncGenerator<Uint8Array> {
  yield* chunks;
  yield* bodyOf(req);
}
