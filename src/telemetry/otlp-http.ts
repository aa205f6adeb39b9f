// Sends spans by OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { callFailure } from "../lib/call-error.js";
import { readRetryAfterMs } from "../lib/retry-after.js";
import { Agent } from "../lib/undici.js";
import { encodeExport, rejectedSpans, type Sender } from "./otlp.js";
import { ExportFailedError, type SendSpans } from "./span-exports.js";

export interface OtlpHttpOptions {
  /** The whole URL. User and password in it become basic authentication. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Time for one try, from connecting to the end of the answer. */
  readonly timeoutMs: number;
  readonly gzip: boolean;
  readonly userAgent: string;
}

/** Largest answer that is read. */
const maxAnswerBytes = 64 * 1024;
/** Answers after which another try may help. */
const passing: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const compress = promisify(gzip);

/** Where spans are sent to. */
export interface OtlpHttp {
  readonly send: SendSpans;
  close(): Promise<void>;
}

export function createOtlpHttp(sender: Sender, options: OtlpHttpOptions): OtlpHttp {
  const { timeoutMs } = options;
  const { username, password, protocol, host, pathname } = new URL(options.url);
  const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  const headers = {
    ...(username !== "" && { authorization: `Basic ${basic}` }),
    "user-agent": options.userAgent,
    ...options.headers,
    "content-type": "application/x-protobuf",
    ...(options.gzip && { "content-encoding": "gzip" }),
  };
  const agent = new Agent({
    connections: 1,
    connect: { timeout: timeoutMs },
    maxResponseSize: maxAnswerBytes,
    keepAliveTimeout: 10_000,
  });

  return {
    async send(spans, signal) {
      const plain = encodeExport(sender, spans);
      const body = options.gzip ? await compress(plain) : plain;
      const { status, bytes, retryAfter } = await post(body, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
      if (status >= 200 && status < 300) return rejectedSpans(bytes);
      const again = passing.has(status) ? (readRetryAfterMs(retryAfter, Date.now()) ?? 0) : undefined;
      throw new ExportFailedError(`the receiver of traces answered ${status}`, again);
    },
    close: () => agent.destroy(),
  };

  async function post(body: Uint8Array, signal: AbortSignal) {
    try {
      const origin = `${protocol}//${host}`;
      const answer = await agent.request({ method: "POST", origin, path: pathname, headers, body, signal });
      const bytes = new Uint8Array(await answer.body.arrayBuffer());
      return { status: answer.statusCode, bytes, retryAfter: [answer.headers["retry-after"]].flat()[0] };
    } catch (error) {
      throw new ExportFailedError(`the receiver of traces ${callFailure(error).why}`, 0);
    }
  }
}
