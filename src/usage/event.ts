import { QuotaExceededError, TooManyInFlightError } from "../errors.js";
import type { CountedUsage } from "../providers/provider.js";

/** How a request ended. `refused`: by the gateway, before anything was sent; `client_gone`: the caller left. */
export type Outcome = "completed" | "failed" | "refused" | "client_gone" | "abandoned";

/** One request, as it is accounted for. Sinks receive it as JSON; field names are the public format. */
export interface UsageEvent {
  /** Stable across redeliveries: the request's id. Sinks drop duplicates by it. */
  readonly id: string;
  /** When the request began, RFC 3339. */
  readonly time: string;
  readonly outcome: Outcome;
  /** Why, in a stable word of `errors.ts`; absent when completed. */
  readonly reason?: string | undefined;
  /** The trace that the request belongs to. Named as tools look for it in logs, where events stand too. */
  readonly trace_id: string;
  /** Name of the deployment that served it. */
  readonly environment: string;
  readonly actor: { readonly id: string; readonly source: string };
  /** Which of the actor's users asked, as the actor says; absent when it does not. */
  readonly endUser?: { readonly id?: string; readonly anonymousId?: string } | undefined;
  readonly feature: string;
  /** Gateway model name as resolved; absent when the request named none that may be used. */
  readonly model?: string | undefined;
  /** How the upstream speaks: `anthropic`, `openai`, … */
  readonly provider?: string | undefined;
  /** Where it was sent: the configured name. */
  readonly upstream?: string | undefined;
  /** The model as the caller named it, where another one took over for it; else absent. */
  readonly requestedModel?: string | undefined;
  /** How often upstreams were asked, where the first try failed and another followed or was ruled out; else absent. */
  readonly attempts?: number | undefined;
  /** Which surface it came in by. */
  readonly edge: "sourcegraph" | "sdk" | "rpc";
  readonly stream: boolean;
  /** Status the upstream answered, when it did. */
  readonly upstreamStatus?: number | undefined;
  /**
   * As the upstream reported it. Of a request that is charged, what it did not report is counted by the gateway, which
   * `estimated` tells; other fields that it did not report are absent.
   */
  readonly usage: CountedUsage;
  /** True when the request was charged to the actor's limits. */
  readonly charged: boolean;
  /** Milliseconds from the request's arrival to its end. */
  readonly durationMs: number;
  /** Milliseconds of those spent waiting on the upstream. */
  readonly upstreamMs: number;
  /** Milliseconds from the request's arrival to the first byte of the answer, when there was one. */
  readonly firstByteMs?: number | undefined;
  /** Of requests that were refused over a limit, which one; else absent. */
  readonly limit?: LimitEvent | undefined;
  /** What the checks of prompts found; absent when nothing, or when there are none. */
  readonly flagged?: FlaggedEvent | undefined;
  /** Of requests whose caller was not let in; else absent. */
  readonly denied?: DeniedEvent | undefined;
}

/** A limit as it stood when it refused a request. */
export interface LimitEvent {
  /** Whose it is: the actor's, or that of the one of its users who asked. */
  readonly of: "actor" | "user";
  /** `requests`, `tokens`, `microdollars` or `in_flight`. */
  readonly unit: string;
  readonly limit: number;
  readonly used: number;
  /** Length of the window; absent for requests in flight. */
  readonly windowMs?: number | undefined;
  /** Patterns of the models it is for; absent: all. */
  readonly models?: readonly string[] | undefined;
}

/** Why a caller was not let in. Nothing of the token is in it. */
export interface DeniedEvent {
  /** As the caller was told. */
  readonly why: string;
  /** How many requests alike the event stands for; the rest of it is of the last of them. */
  readonly times: number;
}

/** Why a request was flagged. Nothing of the prompt is in it. */
export interface FlaggedEvent {
  /** Words of `guard/verdict.ts`, at least one. */
  readonly reasons: readonly string[];
  /** Whether it was refused for it. */
  readonly blocked: boolean;
  /** The first letters of the blocked phrase, as it is configured. */
  readonly blockedPhrase?: string | undefined;
  /** Of the prompt, where it was looked at whether they are too many; above the highest bound they are not counted on. */
  readonly promptTokens?: number | undefined;
  /** Most output tokens that the request asked for. */
  readonly maxOutputTokens?: number | undefined;
  /** By which the prompt can be read while it is kept; absent: it is not kept. */
  readonly key?: string | undefined;
}

/** What an event says of a request before it is sent. */
export type EventStart = Pick<
  UsageEvent,
  | "id"
  | "time"
  | "trace_id"
  | "environment"
  | "actor"
  | "endUser"
  | "feature"
  | "model"
  | "provider"
  | "upstream"
  | "edge"
  | "stream"
>;

/** In place of a feature, of a request that was refused before it was known what it is for. */
export const noFeature = "none";

/** What the event of a request that failed so says of the limit that refused it. */
export function limitEvent(failure: unknown): LimitEvent | undefined {
  if (!(failure instanceof QuotaExceededError || failure instanceof TooManyInFlightError)) return undefined;
  const { perUser, unit, limit, used, windowMs, models } = failure.limit;
  return { of: perUser ? "user" : "actor", unit, limit, used, windowMs, models };
}

/** The event of a request whose process died: what is known of it is its start, which stood in its hold. */
export function abandonedEvent(start: EventStart, charged: boolean): UsageEvent {
  return { ...start, outcome: "abandoned", usage: {}, charged, durationMs: 0, upstreamMs: 0 };
}
