// A typed client for callers: transport, token, retries, and streams that end the call when the caller leaves them.

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
import { CompletionsService } from "../gen/codygateway/v1/completions_pb.js";
import { LimitsService } from "../gen/codygateway/v1/limits_pb.js";
import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";

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
}

/** The services of `codygateway.v1` for actors. */
export interface GatewayClient {
  readonly completions: Client<typeof CompletionsService>;
  readonly limits: Client<typeof LimitsService>;
}

/** Creates a client. Leaving a stream's loop early, by `break` or by an error, cancels the call. */
export function createGatewayClient(options: GatewayClientOptions): GatewayClient {
  const transport = cancelling(transportOf(options));
  return { completions: createClient(CompletionsService, transport), limits: createClient(LimitsService, transport) };
}

function transportOf(options: GatewayClientOptions): Transport {
  const { protocol = "connect", baseUrl } = options;
  const httpVersion = options.httpVersion ?? (protocol === "grpc" ? "2" : "1.1");
  const interceptors = [
    retrying(options.maxRetries ?? 2, options.maxRetryDelayMs ?? 10_000),
    authorizing(options.token),
  ];
  if (protocol === "grpc") return createGrpcTransport({ baseUrl, interceptors });
  const common = { baseUrl, interceptors, httpVersion };
  return protocol === "grpc-web" ? createGrpcWebTransport(common) : createConnectTransport(common);
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
 * A transport whose streams cancel their call when they are left. Connect's own do not: the server would go on, and the
 * caller be charged, to the end.
 */
function cancelling(transport: Transport): Transport {
  return {
    unary: (...args) => transport.unary(...args),
    async stream(method, signal, ...rest) {
      const left = new AbortController();
      const both = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
      const response = await transport.stream(method, both, ...rest);
      return { ...response, message: whenLeft(response.message, () => left.abort()) };
    },
  };
}

async function* whenLeft<T>(messages: AsyncIterable<T>, leave: () => void): AsyncGenerator<T> {
  let ended = false;
  try {
    yield* messages;
    ended = true;
  } finally {
    if (!ended) leave();
  }
}

export type { CallOptions };
