/**
 * The gateway's own errors. Messages are short fixed texts, so that logs group; numbers and names stand in fields.
 * None holds a token, a key or a prompt. `api/errors.ts` and `http/errors.ts` turn them into what callers see.
 */

/** Stable words for why a request failed: `ErrorInfo.reason` of the RPCs, `reason` of logs, events and metrics. */
export type Reason =
  | "TOKEN_MISSING"
  | "TOKEN_INVALID"
  | "CREDENTIALS_MALFORMED"
  | "ACCESS_DISABLED"
  | "ROLE_MISSING"
  | "SOURCE_NOT_ALLOWED"
  | "FEATURE_NOT_GRANTED"
  | "MODEL_NOT_ALLOWED"
  | "CAPABILITY_MISSING"
  | "PROMPT_BLOCKED"
  | "INVALID_REQUEST"
  | "NOT_FOUND"
  | "MESSAGE_TOO_LARGE"
  | "QUOTA_EXCEEDED"
  | "TOO_MANY_IN_FLIGHT"
  | "QUOTA_STORE_UNAVAILABLE"
  | "SOURCE_UNAVAILABLE"
  | "ACTOR_STORE_UNAVAILABLE"
  | "OVERLOADED"
  | "DRAINING"
  | "UPSTREAM_RATE_LIMITED"
  | "UPSTREAM_UNAVAILABLE"
  | "UPSTREAM_INTERRUPTED"
  | "UPSTREAM_REFUSED_KEY"
  | "UPSTREAM_REJECTED"
  | "UPSTREAM_REFUSED_REQUEST"
  | "DEADLINE_EXCEEDED"
  | "RECENTLY_REFRESHED"
  | "SYNC_NOT_SUPPORTED"
  | "SYNC_DIFFERS"
  | "NOT_CONFIGURED"
  | "INTERNAL";

/**
 * What every error of the gateway is. `reason` says which; subclasses hold the numbers. None has a stack: `reason` and fields say
 * all there is to say of a refusal, and where thousands of strangers are refused a second, stacks would be a tenth of the work.
 */
export class GatewayError extends Error {
  override readonly name: string = "GatewayError";
  constructor(
    readonly reason: Reason,
    message: string,
    options?: ErrorOptions,
  ) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Whom a refusal is about. */
export interface RefusedActor {
  readonly source: string;
  readonly id: string;
}

/** The id of whom a source does not know, in usage events. Analytics of the existing gateway know them so. */
export const unknownActorId = "unknown";

/** The caller did not show a token, or one that nobody knows. */
export class UnauthenticatedError extends GatewayError {
  override readonly name = "UnauthenticatedError";
  constructor(
    override readonly reason: "TOKEN_MISSING" | "TOKEN_INVALID",
    message: string,
    /** Who was refused, where a source said so; its id is `unknown` where the source knows nobody with the token. */
    readonly refused?: RefusedActor,
  ) {
    super(reason, message);
  }
}

/** The credentials cannot be read: no scheme, an unknown scheme, or two of them. */
export class MalformedCredentialsError extends GatewayError {
  override readonly name = "MalformedCredentialsError";
  constructor(message: string) {
    super("CREDENTIALS_MALFORMED", message);
  }
}

/** The actor is known, but its access is switched off; `withheld` says why, where that is no switch of its source. */
export class AccessDisabledError extends GatewayError {
  override readonly name = "AccessDisabledError";
  readonly refused: RefusedActor;
  constructor({ source, id, withheld }: RefusedActor & { readonly withheld?: "license" }) {
    super(
      "ACCESS_DISABLED",
      withheld === undefined
        ? "Cody Gateway access not enabled"
        : "Cody Gateway access not enabled: this gateway serves subscriptions with a dev or internal license only",
    );
    this.refused = { source, id };
  }
}

/** The admin credential is good, but not for this. */
export class RoleMissingError extends GatewayError {
  override readonly name = "RoleMissingError";
  constructor(readonly role: string) {
    super("ROLE_MISSING", "the admin credential lacks the role");
  }
}

/** What is asked for is for actors of another source. */
export class SourceNotAllowedError extends GatewayError {
  override readonly name = "SourceNotAllowedError";
  constructor(
    /** Where the actor comes from. */
    readonly source: string,
  ) {
    super("SOURCE_NOT_ALLOWED", "only available for enterprise product subscriptions");
  }
}

/** This gateway is not set up to do it. */
export class NotConfiguredError extends GatewayError {
  override readonly name = "NotConfiguredError";
  constructor(message: string) {
    super("NOT_CONFIGURED", message);
  }
}

/** What the request names does not exist. */
export class NotFoundError extends GatewayError {
  override readonly name = "NotFoundError";
  constructor(
    message: string,
    /** What kind of thing it would be, and its name: `source/acme`. Never a token. */
    readonly resource: string,
  ) {
    super("NOT_FOUND", message);
  }
}

/** The actor has no limit, hence no access, for the feature. */
export class FeatureNotGrantedError extends GatewayError {
  override readonly name = "FeatureNotGrantedError";
  constructor(readonly feature: string) {
    super("FEATURE_NOT_GRANTED", "no access to feature");
  }
}

/** The model is not on the list that the gateway and the actor have in common. */
export class ModelNotAllowedError extends GatewayError {
  override readonly name = "ModelNotAllowedError";
  constructor(
    readonly model: string,
    readonly allowed: readonly string[],
  ) {
    super("MODEL_NOT_ALLOWED", "model is not allowed");
  }
}

/** The request is wrong. The message is meant for the caller: what was wrong and what was expected. */
export class InvalidRequestError extends GatewayError {
  override readonly name = "InvalidRequestError";
  constructor(
    message: string,
    /** Path of the field that is wrong, `chat.messages[2].role`; absent when it is the request as a whole. */
    readonly field?: string,
    override readonly reason: "INVALID_REQUEST" | "CAPABILITY_MISSING" = "INVALID_REQUEST",
  ) {
    super(reason, message);
  }
}

/** The prompt, or what is asked for, is against the acceptable use policy. The message is meant for the caller. */
export class PromptBlockedError extends GatewayError {
  override readonly name = "PromptBlockedError";
  constructor(
    /** By which support finds the request. */
    readonly traceId: string,
  ) {
    super(
      "PROMPT_BLOCKED",
      "We blocked your request because we detected your prompt to be against our Acceptable Use Policy (https://sourcegraph.com/terms/aup). " +
        "Try again by removing any phrases that may violate our AUP. " +
        `If you think this is a mistake, please contact support@sourcegraph.com and reference this ID: ${traceId}`,
    );
  }
}

/** The body is larger than the gateway accepts. */
export class BodyTooLargeError extends GatewayError {
  override readonly name = "BodyTooLargeError";
  constructor(readonly maxBytes: number) {
    super("MESSAGE_TOO_LARGE", "request body is too large");
  }
}

/** One limit as it stood when a request was refused. */
export interface RefusedLimit {
  readonly feature: string;
  /** `requests`, `tokens`, `microdollars` or `in_flight`. */
  readonly unit: string;
  readonly used: number;
  readonly limit: number;
  /** Length of the window; undefined for requests in flight. */
  readonly windowMs?: number | undefined;
  /** Patterns of the models it is for; undefined: all. */
  readonly models?: readonly string[] | undefined;
  /** It is not the actor's, but that of the one of its users who asks. */
  readonly perUser?: boolean;
}

/** The actor has used up a limit. At `retryAt` the same request passes. */
export class QuotaExceededError extends GatewayError {
  override readonly name = "QuotaExceededError";
  constructor(
    readonly limit: RefusedLimit,
    readonly retryAt: Date,
  ) {
    super("QUOTA_EXCEEDED", "quota exceeded");
  }
}

/** The actor has as many requests in flight as it may. */
export class TooManyInFlightError extends GatewayError {
  override readonly name = "TooManyInFlightError";
  constructor(
    readonly limit: RefusedLimit,
    readonly retryAt: Date,
  ) {
    super("TOO_MANY_IN_FLIGHT", "too many requests in flight");
  }
}

/** Something the gateway needs is away for now: try again after `retryAfterMs`. */
export class UnavailableError extends GatewayError {
  override readonly name = "UnavailableError";
  constructor(
    override readonly reason:
      | "QUOTA_STORE_UNAVAILABLE"
      | "SOURCE_UNAVAILABLE"
      | "ACTOR_STORE_UNAVAILABLE"
      | "OVERLOADED"
      | "DRAINING",
    message: string,
    readonly retryAfterMs: number,
    options?: ErrorOptions,
  ) {
    super(reason, message, options);
  }
}

/** The actor's source was asked for it so lately that it is not asked again yet, but after `retryAfterMs`. */
export class RecentlyRefreshedError extends GatewayError {
  override readonly name = "RecentlyRefreshedError";
  constructor(readonly retryAfterMs: number) {
    super("RECENTLY_REFRESHED", "actor was recently updated");
  }
}

/** A source cannot do what it was asked to, or is doing it in another way just now. */
export class SyncRefusedError extends GatewayError {
  override readonly name = "SyncRefusedError";
  constructor(
    override readonly reason: "SYNC_NOT_SUPPORTED" | "SYNC_DIFFERS",
    message: string,
    readonly source: string,
  ) {
    super(reason, message);
  }
}

/** The upstream did not answer as it should. The cause stays in the log. */
export class UpstreamError extends GatewayError {
  override readonly name = "UpstreamError";
  constructor(
    override readonly reason:
      | "UPSTREAM_RATE_LIMITED"
      | "UPSTREAM_UNAVAILABLE"
      | "UPSTREAM_INTERRUPTED"
      | "UPSTREAM_REFUSED_KEY"
      | "UPSTREAM_REJECTED"
      | "UPSTREAM_REFUSED_REQUEST"
      | "DEADLINE_EXCEEDED",
    message: string,
    readonly details: {
      readonly upstream: string;
      /** Gateway name of the model that it is about. */
      readonly model?: string;
      /** The upstream was not asked: it fails for the model. */
      readonly notAsked?: true;
      /** The upstream's own status, when it answered. */
      readonly status?: number;
      /** Seconds after which a retry makes sense. */
      readonly retryAfterSeconds?: number;
      readonly cause?: unknown;
    },
  ) {
    super(reason, message, details.cause === undefined ? undefined : { cause: details.cause });
  }
}
