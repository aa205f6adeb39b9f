/**
 * What a quota is counted in: `memory-store.ts` for one process, `redis-store.ts` for any number.
 * `test/contract/quota-store.ts` is what both must do.
 */

/** How long a hold lives without being renewed. */
export const leaseMs = 30_000;
/** How long a request id stays known after its hold was settled. */
export const rememberMs = 600_000;
/** How long holds live on, at most, whose leases ended while nobody could reach the store: their processes are given time. */
export const sparedMs = 5_000;
/** After what time a caller with too much in flight may ask again: nobody knows when a slot frees. */
export const inFlightRetryMs = 1_000;

/**
 * Most counters of windows that an actor has. Counters of members (`memberKey`) whose window is to open when there are as many
 * share that of their group: whoever makes up members costs no more room than that.
 */
export const maxCounters = 20_000;

/** The key of a counter that is one of any number of counters alike, as those of an actor's users. `member` has no `@`. */
export function memberKey(group: string, member: string): string {
  return `${group}@${member}`;
}

/** The key of the counter that stands in for a member's; undefined where the key is not of a member. */
export function groupOf(key: string): string | undefined {
  const at = key.indexOf("@");
  return at < 0 ? undefined : key.slice(0, at + 1);
}

/** One rule of a reservation. Rules with the same `key` of one actor share a counter; within one call keys are unique. */
export type Rule = WindowRule | InFlightRule;

export interface WindowRule {
  readonly kind: "window";
  /** Names the counter within its actor: feature, unit, models; or a `memberKey`. Printable, under 200 characters. */
  readonly key: string;
  /** Most units in one window, at most 2^53 - 1. 0 refuses everything. */
  readonly limit: number;
  /**
   * A window opens with the first reservation counted in it. A window found open is cut to this length, counted from its
   * opening; it is never prolonged.
   */
  readonly windowMs: number;
  /**
   * Units to hold, a whole number. More than the limit holds the limit: such a request passes on an empty window, or it
   * never would. A window without anything left refuses 0 too.
   */
  readonly amount: number;
}

export interface InFlightRule {
  readonly kind: "in_flight";
  readonly key: string;
  /** Most live holds at once. 0 refuses everything. */
  readonly limit: number;
}

/** Where one rule stands after a reservation, a settlement, or when asked. */
export interface RuleState {
  readonly key: string;
  /** Committed and held units of the open window, or live holds. May exceed `limit`: that is debt. */
  readonly used: number;
  /** Of `used`, what live holds have reserved and may still give back. */
  readonly held: number;
  readonly limit: number;
  /** When the open window ends, ms since the epoch by the store's clock; undefined when none is open. Never moves while it is open. */
  readonly resetAt: number | undefined;
}

export type Reservation =
  | { readonly kind: "admitted"; readonly states: readonly RuleState[] }
  /**
   * Nothing was counted for any rule. At `retryAt` (ms since the epoch by the store's clock) the same request passes if
   * nothing else was admitted; `state` is the rule that `retryAt` comes from, of those that did not pass the one that takes
   * longest. Two cases have no such time: a limit of 0 (one window from now) and an in-flight rule (`inFlightRetryMs` from now).
   */
  | { readonly kind: "refused"; readonly state: RuleState; readonly retryAt: number }
  /** The deadline had passed when the store looked: nothing was done. */
  | { readonly kind: "late" };

export interface ReserveCall {
  /**
   * Unique for the request of this actor. A second call with the id of one that was admitted returns the first one's
   * answer, until `rememberMs` after settlement; a refusal leaves no trace.
   */
  readonly requestId: string;
  /** `source:id` of the actor. Any characters. */
  readonly actor: string;
  readonly rules: readonly Rule[];
  /** ms since the epoch by the store's clock (see `now`) after which the call must have no effect. */
  readonly deadlineAt: number;
  /** Start of the usage event, written to the outbox together with the counters. Opaque to the store. */
  readonly intent: LazyText;
}

/** A text, or what makes it where it is needed. */
export type LazyText = string | (() => string);

export function textOf(text: LazyText): string {
  return typeof text === "string" ? text : text();
}

export interface SettleCall {
  readonly requestId: string;
  readonly actor: string;
  /** Units really used, whole numbers, by rule key; a rule left out keeps what was held. */
  readonly used: Readonly<Record<string, number>>;
  readonly deadlineAt: number;
  /**
   * How the request ended, written to the outbox together with the settlement; empty: there is nothing to tell. Opaque to the
   * store. Also written, once, for a request that the store does not know: it lost it, or it was let in blind.
   */
  readonly outcome: string;
}

/** How a settlement ended. `gone`: there was no live hold (settled before, or its lease ended): nothing was done. */
export type Settlement =
  | { readonly kind: "settled"; readonly states: readonly RuleState[] }
  | { readonly kind: "gone" }
  | { readonly kind: "late" };

/** A hold to renew. */
export interface Renewal {
  readonly requestId: string;
  readonly actor: string;
  /** The upstream was reached. Once told, it stays so. */
  readonly reached: boolean;
}

/** A hold whose lease ended unsettled, and how the store settled it. */
export interface AbandonedHold {
  readonly requestId: string;
  readonly actor: string;
  /** True when the upstream had been reached: then it was charged as held, else refunded. */
  readonly charged: boolean;
  readonly intent: string;
}

/** Throws `UnavailableError` with reason `QUOTA_STORE_UNAVAILABLE` when it cannot answer in its time. */
export interface QuotaStore {
  /**
   * Whether what becomes of admitted requests is written to an outbox, each in the transaction that does it: intents and
   * outcomes of calls, and what was abandoned. Otherwise the caller sees to it, with what calls answer and `reap` returns.
   */
  readonly tellsOutbox: boolean;
  /** The store's clock, ms since the epoch: the only time that windows and leases follow. */
  now(): number;
  /**
   * Looks at every rule and, only if all pass, counts and holds them. Atomic. Before that, the actor's holds whose lease
   * ended are settled as `reap` does.
   */
  reserve(call: ReserveCall): Promise<Reservation>;
  /**
   * Settles a live hold at what was used and ends it. The difference goes to the window the hold was counted in, and to
   * nothing once that is closed; it may leave a debt.
   */
  commit(call: SettleCall): Promise<Settlement>;
  /** Settles a live hold at nothing and ends it. */
  refund(call: Omit<SettleCall, "used">): Promise<Settlement>;
  /** Makes the leases of live holds end `leaseMs` from now. */
  renew(holds: readonly Renewal[]): Promise<void>;
  /**
   * Settles holds whose lease ended: as held when the upstream was reached, else at nothing. Returns at most `max` of those
   * settled so, by this call or by `reserve`; each abandoned hold is returned by one call of all processes.
   */
  reap(max: number): Promise<readonly AbandonedHold[]>;
  /** Where the given rules stand, in their order; consumes nothing. */
  usage(actor: string, rules: readonly Rule[]): Promise<readonly RuleState[]>;
  /**
   * Closes the open windows of the actor's counters with these keys, so that they start from 0. Live holds stay, but
   * count in no window any more. Returns what was used, by key; counters without an open window are absent.
   */
  reset(actor: string, keys: readonly string[]): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}
