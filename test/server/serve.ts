// A listener on a free port with trivial handlers, for the tests beside this file.

import type { ServerResponse } from "node:http";
import type { CutReason, RefusalReason, RequestHandler, ServerObserver } from "../../src/server/call.js";
import type { ServerLimits } from "../../src/server/limits.js";
import { createListener, type Listener, type ListenerOptions } from "../../src/server/listener.js";
import { recordingLog } from "../helpers/log.js";

/** Handlers see both HTTP versions' responses alike. */
export type Serve = (
  ...args: [req: Parameters<RequestHandler>[0], res: ServerResponse, call: Parameters<RequestHandler>[2]]
) => ReturnType<RequestHandler>;

export interface Served extends AsyncDisposable {
  readonly listener: Listener;
  readonly port: number;
  readonly log: ReturnType<typeof recordingLog>;
  /** Requests that got to a handler: method and target. */
  readonly seen: string[];
  readonly refused: RefusalReason[];
  readonly cut: CutReason[];
  /** Path and status of requests that are over. */
  readonly ended: string[];
  /** Resolves once the server has cut for this reason. */
  untilCut(reason: CutReason): Promise<void>;
}

/** Reads the body and says what arrived. */
export const echo: Serve = async (req, res, call) => {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  res.writeHead(200, { "content-type": "application/json" });
  res.end(
    JSON.stringify({
      method: req.method,
      path: call.path,
      requestId: call.requestId,
      protocol: call.protocol,
      body: Buffer.concat(chunks).toString("latin1"),
    }),
  );
};

/** What a test does not set is far off, so that it is not what ended something. */
const patient: Partial<ServerLimits> = { prefaceMs: 120_000, handshakeMs: 120_000, headMs: 120_000, bodyMs: 120_000 };

/** Within this, what a test set has happened; what it did not set has not. Not less: the machine may have more to do. */
export const soonMs = 30_000;

/** A promise, and what resolves it. */
export function deferred<T>(): { readonly promise: Promise<T>; resolve(value: T): void } {
  let resolve: ((value: T) => void) | undefined;
  const promise = new Promise<T>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { promise, resolve: (value) => resolve?.(value) };
}

export interface ServeOptions extends Omit<ListenerOptions, "limits"> {
  readonly http?: Serve;
  readonly rpc?: Serve;
  readonly isRpc?: (path: string) => boolean;
  readonly limits?: Partial<ServerLimits>;
}

/** Starts it. Deadlines are looked at every 20 ms. */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  const log = recordingLog();
  const seen: string[] = [];
  const refused: RefusalReason[] = [];
  const cut: CutReason[] = [];
  const ended: string[] = [];
  const waiting: { reason: CutReason; resolve: () => void }[] = [];
  const observer: ServerObserver = {
    refused: (reason) => void refused.push(reason),
    cut(reason) {
      cut.push(reason);
      for (const each of waiting) if (each.reason === reason) each.resolve();
    },
    ended: (path, status) => void ended.push(`${path} ${status}`),
    failed() {},
  };
  const through =
    (handler: Serve): RequestHandler =>
    (req, res, call) => {
      seen.push(`${req.method} ${req.url}`);
      return handler(req, res as ServerResponse, call);
    };
  const { http = echo, rpc = echo, isRpc = () => false, limits, ...rest } = options;
  const listener = createListener(
    { http: through(http), rpc: through(rpc), isRpc, log, observer },
    { ...rest, limits: { ...patient, sweepMs: 20, ...limits } },
  );
  return {
    listener,
    port: await listener.listen(0, "127.0.0.1"),
    log,
    seen,
    refused,
    cut,
    ended,
    untilCut(reason) {
      if (cut.includes(reason)) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push({ reason, resolve });
      });
    },
    [Symbol.asyncDispose]: () => listener.close(),
  };
}
