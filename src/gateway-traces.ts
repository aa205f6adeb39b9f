// Traces of the composition: which parts tell of their work, and what of it. Without traces every part is as it was.

import type { SyncSummary } from "./actors/sync-state.js";
import type { Config } from "./config.js";
import type { Log } from "./lib/log.js";
import type { Quota } from "./quota/quota.js";
import type { RelayEnd, RelayRequest } from "./relay.js";
import type { RequestTracer } from "./server/trace.js";
import type { Metrics } from "./telemetry/metrics.js";
import type { Upstreams, UpstreamTarget } from "./upstream/upstream.js";
import type { UsageEvent } from "./usage/event.js";
import type { Sink } from "./usage/sink.js";

export interface Traces {
  /** For the server. */
  readonly tracer: RequestTracer;
  /** A request has come in, is admitted, has ended. */
  began(request: RelayRequest): void;
  admitted(request: RelayRequest): void;
  ended(event: UsageEvent, end: RelayEnd): void;
  /** The same parts, telling of each request that is traced how often and how long they were busy with it. */
  upstreams(upstreams: Upstreams, targets: readonly UpstreamTarget[]): Upstreams;
  quota(quota: Quota): Quota;
  /** The same sink, telling of each delivery. */
  sink(sink: Sink): Sink;
  synced(source: string, summary: SyncSummary): void;
  /** Exports what waits, within a bounded time. */
  close(): Promise<void>;
}

export interface TracesParts {
  readonly log: Log;
  readonly metrics: Pick<Metrics, "spansHandled">;
  readonly version: string;
}

/** Undefined: no traces are exported. */
export async function createTraces({ traces, environment }: Config, parts: TracesParts): Promise<Traces | undefined> {
  if (traces === undefined) return undefined;
  // Takes time and memory at the start, for those who use it.
  const { startTraces } = await import("./gateway-spans.js");
  return startTraces({ ...traces, environment }, parts);
}
