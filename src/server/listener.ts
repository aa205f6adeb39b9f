// One port for HTTP/1.1, HTTP/2 with prior knowledge and, with a certificate, TLS.

import { UnavailableError } from "../errors.js";
import type { Log } from "../lib/log.js";
import type { ServerObserver } from "./call.js";
import type { Cors } from "./cors.js";
import type { Handlers } from "./dispatch.js";
import { createDrain, type DrainOptions } from "./drain.js";
import { createIntake } from "./intake.js";
import { type ServerLimits, serverLimits } from "./limits.js";
import type { CertificateFiles } from "./tls.js";
import type { RequestTracer } from "./trace.js";

/** A server on one port. */
export interface Listener {
  /** Resolves with the port, which is one that is free where 0 was asked for. Rejects when it cannot be had. */
  listen(port: number, host?: string): Promise<number>;
  readonly connections: number;
  /** Requests being served. */
  readonly requests: number;
  /** A drain has begun: readiness is to say no. */
  readonly draining: boolean;
  /**
   * Leaves in order: accepts for `delayMs` more, then asks clients to go and lets what runs finish for `timeoutMs`, then aborts
   * `hardStop`, and ends everything a second later. `clean` when nothing was cut. A second call can only shorten. Never rejects.
   */
  drain(options: DrainOptions): Promise<"clean" | "cut">;
  /** Aborted when a drain has run into its deadline, and on `close`: handlers wind up now. */
  readonly hardStop: AbortSignal;
  /** Ends everything at once. */
  close(): Promise<void>;
}

/** How it listens; `limits` over the defaults of `serverLimits`. */
export interface ListenerOptions {
  /** Serve TLS, HTTP/2 and HTTP/1.1 by ALPN. The files are read again when they change. */
  readonly tls?: CertificateFiles | undefined;
  /** How often to look whether they changed. Default 10 s. */
  readonly tlsReloadMs?: number;
  readonly limits?: Partial<ServerLimits>;
}

const silent: ServerObserver = { refused() {}, cut() {}, ended() {}, failed() {} };

/** Makes a server that is not listening yet. Throws when the certificate cannot be used. */
export function createListener(
  parts: Handlers & {
    log: Log;
    observer?: ServerObserver;
    tracer?: RequestTracer | undefined;
    cors?: Cors | undefined;
  },
  options: ListenerOptions = {},
): Listener {
  const { log, observer = silent, tracer, cors } = parts;
  const { tls, tlsReloadMs = 10_000 } = options;
  const limits = serverLimits(options.limits);
  const intake = createIntake({ handlers: parts, log, observer, tracer, cors }, { limits, tls, tlsReloadMs });
  const hardStop = new AbortController();

  function abort(): void {
    hardStop.abort(new UnavailableError("DRAINING", "server is shutting down", 1000));
  }

  const drain = createDrain(
    {
      steps: {
        stop: intake.stop,
        settle: intake.settle,
        hardStop() {
          for (let left = intake.requests; left > 0; left--) observer.cut("drain");
          abort();
        },
        destroy: intake.destroy,
      },
      log,
    },
    limits,
  );

  return {
    listen: intake.listen,
    get connections() {
      return intake.connections;
    },
    get requests() {
      return intake.requests;
    },
    get draining() {
      return drain.begun;
    },
    drain: (times) => drain.run(times),
    hardStop: hardStop.signal,
    close() {
      const closed = intake.stopListening();
      abort();
      intake.destroy();
      return closed;
    },
  };
}
