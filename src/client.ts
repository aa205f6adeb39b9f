// A typed client for callers: transport, token, retries, and streams that end the call when the caller leaves them.

import type { DescService } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ActorAdminService } from "../gen/codygateway/v1/actor_admin_pb.js";
import { AttributionService } from "../gen/codygateway/v1/attribution_pb.js";
import { CompletionsService } from "../gen/codygateway/v1/completions_pb.js";
import { EmbeddingsService } from "../gen/codygateway/v1/embeddings_pb.js";
import { LimitsService } from "../gen/codygateway/v1/limits_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";

export interface GatewayClientOptions {
  /** Where the gateway is: `https://gateway.example.com`. */
  readonly baseUrl: string;
  /** The actor's access token. */
  readonly token: string;
  /** Default `connect`. */
  readonly protocol?: "connect" | "grpc" | "grpc-web";
  /** Default `2` for `grpc`, else `1.1`. HTTP/2 without TLS is spoken with prior knowledge. */
  readonly httpVersion?: "1.1" | "2";
  /** Retries of a unary call that the gateway answered with `unavailable` and a time to wait. Default 2; 0 turns them off. */
  readonly maxRetries?: number;
  /** Longest wait the client obeys before a retry, ms. A longer one is thrown to the caller. Default 10 s. */
  readonly maxRetryDelayMs?: number;
  /** Longest a unary call may take, retries included, ms. Default: any time. */
  readonly timeoutMs?: number;
}

/** The services of `codygateway.v1` for actors. */
export interface GatewayClient {
  readonly attribution: Client<typeof AttributionService>;
  readonly completions: Client<typeof CompletionsService>;
  readonly embeddings: Client<typeof EmbeddingsService>;
  readonly limits: Client<typeof LimitsService>;
}

/** Creates a client of the administration. `token` is an admin credential. Leaving a stream's loop early cancels the call. */
export function createAdminClient(options: GatewayClientOptions): Client<typeof ActorAdminService> {
  return cancellingClient(ActorAdminService, transportOf(options));
}

/** Creates a client. Leaving a stream's loop early, by `break` or by an error, cancels the call. */
export function createGatewayClient(options: GatewayClientOptions): GatewayClient {
  const transport = transportOf(options);
  return {
    attribution: cancellingClient(AttributionService, transport),
    completions: cancellingClient(CompletionsService, transport),
    embeddings: cancellingClient(EmbeddingsService, transport),
    limits: cancellingClient(LimitsService, transport),
  };
}

function transportOf(options: GatewayClientOptions): Transport {
  const { protocol = "connect", baseUrl, timeoutMs } = options;
  const httpVersion = options.httpVersion ?? (protocol === "grpc" ? "2" : "1.1");
  const interceptors = [
    retrying(options.maxRetries ?? 2, options.maxRetryDelayMs ?? 10_000),
    authorizing(options.token),
  ];
  const common = { baseUrl, interceptors, ...(timeoutMs !== undefined && { defaultTimeoutMs: timeoutMs }) };
  if (protocol === "grpc") return createGrpcTransport(common);
  const versioned = { ...common, httpVersion };
  return protocol === "grpc-web" ? createGrpcWebTransport(versioned) : createConnectTransport(versioned);
}

function authorizing(token: string): Interceptor {
  return (next) => (req) => {
    req.header.set("authorization", `Bearer ${token}`);
    return next(req);
  };
}

/** Repeats unary calls that were refused for now, after the time the gateway gave. Streams are never repeated. */
function retrying(maxRetries: number, maxDelayMs: number): Interceptor {
  return (next) => async (req) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await next(req);
      } catch (error) {
        const delayMs = retryDelayMs(error);
        if (req.stream || attempt >= maxRetries || delayMs === undefined || delayMs > maxDelayMs) throw error;
        await delay(delayMs, req.signal);
      }
    }
  };
}

/** How long the gateway asked to wait; undefined when a retry is of no use. */
export function retryDelayMs(error: unknown): number | undefined {
  const connectError = ConnectError.from(error);
  if (connectError.code !== Code.Unavailable) return undefined;
  const [info] = connectError.findDetails(RetryInfoSchema);
  if (!info?.retryDelay) return undefined;
  return Number(info.retryDelay.seconds) * 1000 + info.retryDelay.nanos / 1_000_000;
}

/** What a call failed with, as far as programs decide by it. */
export interface CallFailure {
  /**
   * `refused`: the gateway answered. `absent`: what answered has no such service, as the port of callers where administration has
   * its own. `unreachable`: nobody answered, or nothing that speaks the API.
   */
  readonly kind: "refused" | "absent" | "unreachable";
  /** A name of `ErrorReason`; undefined when it was not the gateway that answered, or the request breaks a rule of its message. */
  readonly reason: string | undefined;
  /** What `ErrorReason` promises beside the reason, as `role` beside ROLE_MISSING. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly message: string;
}

/** Reads what a call threw; undefined for what is no failed call. */
export function callFailure(error: unknown): CallFailure | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const { reason, metadata = {} } = error.findDetails(ErrorInfoSchema)[0] ?? {};
  return { kind: failureKind(error, reason), reason, metadata, message: error.rawMessage.trim() };
}

function failureKind({ code, metadata }: ConnectError, reason: string | undefined): CallFailure["kind"] {
  if (reason !== undefined) return "refused";
  if (code === Code.Unimplemented) return "absent";
  // The gateway names the request in every error. A proxy before it may do so, too, where there is nobody behind it.
  return metadata.has("x-request-id") && code !== Code.Unavailable ? "refused" : "unreachable";
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      signal.removeEventListener("abort", aborted);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const aborted = (): void => {
      clearTimeout(timer);
      reject(ConnectError.from(signal.reason));
    };
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted, { once: true });
  });
}

/**
 * A client whose streams cancel their call when their loop is left. Connect's own do not hear of it: the server would go on,
 * and the caller be charged, to the end.
 */
function cancellingClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const client = createClient(service, transport) as Record<string, unknown>;
  for (const method of service.methods) {
    if (method.methodKind !== "server_streaming") continue;
    const call = client[method.localName] as (request: unknown, options?: CallOptions) => AsyncIterable<unknown>;
    client[method.localName] = (request: unknown, options: CallOptions = {}) => {
      const left = new AbortController();
      const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
      return whenLeft(call(request, { timeoutMs: 0, ...options, signal }), () => left.abort());
    };
  }
  return client as Client<S>;
}

/** `messages`, with `leave` called when the loop over them is left before their end. */
async function* whenLeft<T>(messages: AsyncIterable<T>, leave: () => void): AsyncGenerator<T> {
  // By hand: `yield*` would first ask the inner iterator to return, which waits for the server.
  const iterator = messages[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await iterator.next();
      ended = next.done === true;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    if (!ended) leave();
  }
}
