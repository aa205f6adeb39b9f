// The gateway's errors as Connect errors, the only place that makes them (spec: codes as in common.proto, ErrorReason).

import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { callSpan } from "../auth/call-span.js";
import {
  FeatureNotGrantedError,
  GatewayError,
  InvalidRequestError,
  ModelNotAllowedError,
  NotFoundError,
  QuotaExceededError,
  type Reason,
  RecentlyRefreshedError,
  type RefusedLimit,
  RoleMissingError,
  SourceNotAllowedError,
  SyncRefusedError,
  TooManyInFlightError,
  UnavailableError,
  UpstreamError,
} from "../errors.js";
import type { Span } from "../lib/span.js";

const codes: Readonly<Record<Reason, Code>> = {
  TOKEN_MISSING: Code.Unauthenticated,
  TOKEN_INVALID: Code.Unauthenticated,
  CREDENTIALS_MALFORMED: Code.Unauthenticated,
  ACCESS_DISABLED: Code.PermissionDenied,
  ROLE_MISSING: Code.PermissionDenied,
  SOURCE_NOT_ALLOWED: Code.PermissionDenied,
  FEATURE_NOT_GRANTED: Code.PermissionDenied,
  MODEL_NOT_ALLOWED: Code.InvalidArgument,
  CAPABILITY_MISSING: Code.InvalidArgument,
  INVALID_REQUEST: Code.InvalidArgument,
  PROMPT_BLOCKED: Code.InvalidArgument,
  NOT_FOUND: Code.NotFound,
  MESSAGE_TOO_LARGE: Code.ResourceExhausted,
  QUOTA_EXCEEDED: Code.ResourceExhausted,
  TOO_MANY_IN_FLIGHT: Code.ResourceExhausted,
  RECENTLY_REFRESHED: Code.FailedPrecondition,
  SYNC_NOT_SUPPORTED: Code.FailedPrecondition,
  SYNC_DIFFERS: Code.FailedPrecondition,
  QUOTA_STORE_UNAVAILABLE: Code.Unavailable,
  SOURCE_UNAVAILABLE: Code.Unavailable,
  ACTOR_STORE_UNAVAILABLE: Code.Unavailable,
  OVERLOADED: Code.Unavailable,
  DRAINING: Code.Unavailable,
  UPSTREAM_RATE_LIMITED: Code.Unavailable,
  UPSTREAM_UNAVAILABLE: Code.Unavailable,
  UPSTREAM_INTERRUPTED: Code.Unavailable,
  UPSTREAM_REJECTED: Code.Unavailable,
  UPSTREAM_REFUSED_REQUEST: Code.InvalidArgument,
  UPSTREAM_REFUSED_KEY: Code.Internal,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  NOT_CONFIGURED: Code.Unimplemented,
  INTERNAL: Code.Internal,
};

/** What the caller sees. Anything that is not the gateway's own error is "internal error". */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  if (isAbort(error)) return ConnectError.from(error);
  if (!(error instanceof GatewayError))
    return new ConnectError("internal error", Code.Internal, undefined, [info("INTERNAL")], error);
  const details = [info(error.reason, metadataOf(error)), ...detailsOf(error)];
  return withoutStack(() => new ConnectError(messageOf(error), codes[error.reason], undefined, details, error));
}

/** As of all errors of the gateway: a stack says nothing that the reason does not, and costs more than the rest of a refusal. */
function withoutStack<T extends Error>(make: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** The text that the caller of an RPC gets. */
export function messageOf(error: GatewayError): string {
  if (error.reason === "UPSTREAM_REFUSED_KEY") return "internal error";
  if (error instanceof ModelNotAllowedError) return `model ${JSON.stringify(error.model)} is not allowed`;
  return error.message;
}

type Details = NonNullable<ConstructorParameters<typeof ConnectError>[3]>;

function detailsOf(error: GatewayError): Details {
  if (error instanceof QuotaExceededError || error instanceof TooManyInFlightError) {
    const { unit, used, limit, perUser } = error.limit;
    const description = `${used} of ${limit} ${unit} used${perUser ? " by this user" : ""}`;
    const violations = [{ subject: refusedName(error.limit), description }];
    const failure = { desc: QuotaFailureSchema, value: { violations } };
    return [failure, retryIn(error.retryAt.getTime() - Date.now())];
  }
  if (error instanceof UnavailableError || error instanceof RecentlyRefreshedError)
    return [retryIn(error.retryAfterMs)];
  if (error instanceof UpstreamError) {
    const { retryAfterSeconds } = error.details;
    return retryAfterSeconds === undefined ? [] : [retryIn(retryAfterSeconds * 1000)];
  }
  if (error instanceof InvalidRequestError && error.field !== undefined) {
    const violation = { field: error.field, description: error.message };
    return [{ desc: BadRequestSchema, value: { fieldViolations: [violation] } }];
  }
  return [];
}

/** What common.proto promises beside each reason. */
function metadataOf(error: GatewayError): Record<string, string> {
  if (error instanceof ModelNotAllowedError) return { model: error.model };
  if (error instanceof FeatureNotGrantedError) return { feature: error.feature };
  if (error instanceof SyncRefusedError || error instanceof SourceNotAllowedError) return { source: error.source };
  if (error instanceof RoleMissingError) return { role: error.role };
  if (error instanceof NotFoundError) return { resource: error.resource };
  if (error instanceof UpstreamError) return { provider: error.details.upstream };
  if (error instanceof TooManyInFlightError)
    return { limit: String(error.limit.limit), in_flight: String(error.limit.used), ...whose(error.limit) };
  if (error instanceof QuotaExceededError) {
    const { unit, limit, used } = error.limit;
    const reset_time = error.retryAt.toISOString();
    const limit_name = refusedName(error.limit);
    return { limit_name, unit, limit: String(limit), used: String(used), reset_time, ...whose(error.limit) };
  }
  return {};
}

function refusedName({ feature, perUser }: RefusedLimit): string {
  return perUser ? `${feature}_user` : feature;
}

function whose({ perUser }: RefusedLimit): { per_user?: string } {
  return perUser ? { per_user: "true" } : {};
}

function info(reason: string, metadata: Record<string, string> = {}): Details[number] {
  return { desc: ErrorInfoSchema, value: { reason, domain: "codygateway", metadata } };
}

function retryIn(ms: number): Details[number] {
  const wait = Math.max(0, Math.ceil(ms));
  const retryDelay = { seconds: BigInt(Math.floor(wait / 1000)), nanos: (wait % 1000) * 1_000_000 };
  return { desc: RetryInfoSchema, value: { retryDelay } };
}

/** A call that failed, for the log. */
export interface FailedCall {
  readonly requestId: string | undefined;
  readonly trace_id: string | undefined;
  /** `codygateway.v1.LimitsService/GetLimits`. */
  readonly method: string;
  readonly edge: "rpc";
  readonly durationMs: number;
}

/**
 * Turns the gateway's own errors into what callers see, before and inside streams. `onFailed` sees them as they were; those of
 * Connect, which are about the request, as `InvalidRequestError`. It is not told of callers who left or ran out of time.
 */
export function createErrorInterceptor(onFailed: (error: unknown, call: FailedCall) => void): Interceptor {
  return (next) => async (req) => {
    const startedAt = performance.now();
    const span = callSpan(req.contextValues);
    if (span) describe(span, req);
    const requestId = req.header.get("x-request-id") ?? undefined;
    const map = (error: unknown): ConnectError => {
      const failure = failureOf(error);
      const method = `${req.service.typeName}/${req.method.name}`;
      const trace_id = req.header.get("x-trace") ?? undefined;
      const durationMs = performance.now() - startedAt;
      if (failure !== undefined) onFailed(failure, { requestId, trace_id, method, edge: "rpc", durationMs });
      const told = toConnectError(error);
      if (span) describeFailure(span, told, failure);
      return told;
    };
    try {
      const res = await next(req);
      return res.stream ? { ...res, message: mapErrors(res.message, map) } : res;
    } catch (error) {
      throw map(error);
    }
  };
}

/** Health is asked all the time, and nobody waits for it. */
function describe(
  span: Span,
  { service, method, requestMethod, header }: Parameters<ReturnType<Interceptor>>[0],
): void {
  if (service.typeName === Health.typeName) return span.discard();
  const name = `${service.typeName}/${method.name}`;
  span.rename(name);
  span.set({
    "http.route": `/${name}`,
    "http.request.method": requestMethod,
    "rpc.system": header.get("content-type")?.startsWith("application/grpc") ? "grpc" : "connect_rpc",
    "rpc.service": service.typeName,
    "rpc.method": method.name,
    "cody_gateway.edge": "rpc",
  });
}

function describeFailure(span: Span, { code }: ConnectError, failure: unknown): void {
  const word = Code[code].replaceAll(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase();
  span.set({ "rpc.response.status_code": word });
  if (failure instanceof GatewayError) span.set({ "cody_gateway.reason": failure.reason });
  if (serverFaults.has(code)) span.fail(word);
}

/** What OpenTelemetry takes for the server's fault, and not for the caller's. */
const serverFaults: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

/** What to tell of an error; undefined when it is the caller's own end. */
function failureOf(error: unknown): unknown {
  if (isAbort(error)) return undefined;
  if (!(error instanceof ConnectError)) return error;
  if (error.code === Code.Canceled || error.code === Code.DeadlineExceeded) return undefined;
  const ours = error.code === Code.Internal || error.code === Code.Unknown || error.code === Code.Unavailable;
  return ours ? error : new InvalidRequestError(error.rawMessage);
}

/** An aborted signal's reason where nobody gave one. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** `messages`, with anything they throw passed through `map` first. */
export async function* mapErrors<T>(messages: AsyncIterable<T>, map: (error: unknown) => unknown): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw map(error);
  }
}
