// What becomes of a request's end: one event, one log line, the metrics. The same for both edges.

import { AccessDisabledError, GatewayError, type RefusedActor, UnauthenticatedError } from "./errors.js";
import type { Traces } from "./gateway-traces.js";
import { saysCallerLeft } from "./lib/gone.js";
import { JsonSyntaxError } from "./lib/json.js";
import type { Log } from "./lib/log.js";
import type { RelayParts } from "./relay.js";
import type { RelayWatch } from "./relay-watch.js";
import { createDenialLog } from "./telemetry/denials.js";
import type { Metrics } from "./telemetry/metrics.js";
import { createDenialEvents } from "./usage/denials.js";
import type { UsageEvent } from "./usage/event.js";
import type { Ledger } from "./usage/ledger.js";

export interface Accounting extends Pick<RelayParts, "began" | "admitted" | "emit"> {
  /** A request failed at an edge. What the route has told already is not told again. */
  failed(surface: "http" | "rpc", failed: FailedRequest, error: unknown): void;
  /** Tells what was not told yet, and stops. Before the ledger does. */
  close(): void;
}

/** A request that failed at an edge, as the log has it. */
export interface FailedRequest {
  readonly requestId: string | undefined;
  readonly trace_id: string | undefined;
  /** Undefined where it came in by no route of callers. */
  readonly edge: UsageEvent["edge"] | undefined;
  readonly durationMs: number;
}

export interface AccountingParts {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly ledger: Pick<Ledger, "emit">;
  /** Name of this deployment. */
  readonly environment: string;
  /** An actor was refused something that it may be granted by now at its source. Must not throw. */
  readonly onRefused?: (actor: { readonly source: string; readonly id: string }) => void;
  /** Told of each request, for those who look on. */
  readonly watch: RelayWatch;
  /** Undefined: nothing is traced. */
  readonly traces: Pick<Traces, "began" | "admitted" | "ended"> | undefined;
}

/** What a refusal may be out of date about. */
const granted: ReadonlySet<string | undefined> = new Set(["QUOTA_EXCEEDED", "FEATURE_NOT_GRANTED"]);

export function createAccounting(parts: AccountingParts): Accounting {
  const { log, metrics, ledger, onRefused, watch, environment, traces } = parts;
  const denials = createDenialLog(log);
  const emit = (event: UsageEvent, requestId = ""): void => {
    ledger.emit(event);
    watch.denied(event, requestId);
  };
  const events = createDenialEvents({ environment, emit, onJoined: metrics.eventJoined });
  const known = new WeakSet<object>();

  return {
    began(request) {
      metrics.inFlight(request.edge, request.feature, 1);
      traces?.began(request);
    },
    admitted(request, plan, limits) {
      watch.admitted(request, plan, limits);
      traces?.admitted(request);
    },
    emit(event, end) {
      const { failure, told } = end;
      if (isObject(failure)) known.add(failure);
      metrics.inFlight(event.edge, event.feature, -1);
      metrics.requestObserved(event);
      if (!told) ledger.emit(event);
      if (granted.has(event.reason)) onRefused?.(event.actor);
      watch.ended(event, end);
      traces?.ended(event, end);
      if (event.reason === "INTERNAL") log.error({ ...event, err: failure }, "request failed");
      else if (event.outcome === "refused") denials.denied(alikeOf(event), () => event);
      else log.info(withCause(event, failure), "request");
    },
    failed(surface, failed, error) {
      if (isObject(error) && known.has(error)) return;
      // The route told of it, as of a request whose caller left.
      if (surface === "rpc" && !(error instanceof GatewayError) && saysCallerLeft(error)) return;
      if (isUnexpected(error)) return log.error({ ...failed, err: error }, "request failed");
      const reason = error instanceof GatewayError ? error.reason : "INVALID_REQUEST";
      const { edge, requestId, trace_id: traceId, durationMs } = failed;
      metrics.requestRefused(edge ?? surface, reason);
      denials.denied(`${surface} ${reason}`, () => ({ ...failed, surface, reason }));
      const refused = refusedActor(error);
      if (!refused || edge === undefined) return;
      events.denied({ requestId, traceId, edge, refused, reason, why: refused.why, durationMs });
    },
    close() {
      denials.close();
      events.close();
    },
  };
}

/** Refusals that are one line of the log: who, and why. A limit of one user says nothing of the actor's own. */
function alikeOf({ actor, reason, limit }: UsageEvent): string {
  return `${actor.id} ${reason} ${limit?.of}`;
}

/** Whom a source did not let in; undefined when the error is none of that kind. */
function refusedActor(error: unknown): (RefusedActor & { readonly why: string }) | undefined {
  if (!(error instanceof UnauthenticatedError || error instanceof AccessDisabledError)) return undefined;
  return error.refused && { ...error.refused, why: error.message };
}

/** An upstream's failure is explained in the log, and only there. */
function withCause(event: object, failure: unknown): object {
  return failure instanceof Error && failure.cause !== undefined ? { ...event, err: failure.cause } : event;
}

/** Refusals are the gateway's own decisions; what no route exists for has no error at all. */
function isUnexpected(error: unknown): boolean {
  return !(error === undefined || error instanceof GatewayError || error instanceof JsonSyntaxError);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
