import { CallError, callFailure } from "./call-error.js";
import { readRetryAfterMs } from "./retry-after.js";
import { Agent } from "./undici.js";

/** A small request. */
export interface HttpCall {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** An answer, whatever its status. */
export interface HttpAnswer {
  readonly status: number;
  /** The body where it is JSON, else undefined. */
  readonly json: unknown;
  /** When to come back, in ms from now, where it says so. */
  readonly retryAfterMs: number | undefined;
}

/** Calls one service: within a time, with a bounded answer, following no redirect. Throws `CallError` when there is no whole answer. */
export interface HttpCaller {
  get(call: HttpCall): Promise<HttpAnswer>;
  post(call: HttpCall & { readonly body: string }): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export interface HttpCallerOptions {
  /** Time for a call from connecting to the last byte. Default 5 s. */
  readonly timeoutMs?: number;
  /** Longest answer. Default 1 MiB. */
  readonly maxBytes?: number;
  readonly connections?: number;
  /** How the gateway names itself. Default: not at all. */
  readonly userAgent?: string | undefined;
}

/** `service` is what errors call it. */
export function createHttpCaller(service: string, options: HttpCallerOptions = {}): HttpCaller {
  const { timeoutMs = 5_000, maxBytes = 1024 * 1024, connections = 16, userAgent } = options;
  const agent = new Agent({
    connections,
    pipelining: 1,
    connect: { timeout: timeoutMs },
    maxResponseSize: maxBytes,
    // Below what load balancers grant, so that a connection is not taken up while it is being closed.
    keepAliveTimeout: 10_000,
  });

  async function call(
    method: "GET" | "POST",
    { url, headers, signal }: HttpCall,
    body: string | null,
  ): Promise<HttpAnswer> {
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      const { origin, pathname, search } = new URL(url);
      const answer = await agent.request({
        method,
        origin,
        path: pathname + search,
        headers: userAgent === undefined ? headers : { "user-agent": userAgent, ...headers },
        body,
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      });
      const retryAfter = [answer.headers["retry-after"]].flat()[0];
      return {
        status: answer.statusCode,
        json: parse(await answer.body.text()),
        retryAfterMs: readRetryAfterMs(retryAfter, Date.now()),
      };
    } catch (error) {
      throw new CallError(service, callFailure(error).why);
    }
  }

  return {
    get: (asked) => call("GET", asked, null),
    post: (asked) => call("POST", asked, asked.body),
    close: () => agent.destroy(),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
