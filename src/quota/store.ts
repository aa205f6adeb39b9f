/**
 * What a quota is counted in: `memory-store.ts` for one process, `redis-store.ts` for any number.
 * `test/contract/quota-store.ts` is what both must do.
 */

/** One rule of a reservation. Rules with the same `key` of one actor share a counter. */
export type Rule = WindowRule | InFlightRule;

export interface WindowRule {
  readonly kind: "window";
  /** Names the counter within its actor: feature, unit, models. Printable, under 200 characters. */
  readonly key: string;
  /** Most units in one window. 0 refuses everything. */
  readonly limit: number;
  readonly windowMs: number;
  /** Units to hold. */
  readonly amount: number;
}

export interface InFlightRule {
  readonly kind: "in_flight";
  readonly key: string;
  /** Most live holds at once. */
  readonly limit: number;
}

/** Where one rule stands after a reservation, a settlement, or when asked. */
export interface RuleState {
  readonly key: string;
  /** Committed and held units of the open window, or live holds. May exceed `limit`: that is debt. */
  readonly used: number;
  readonly limit: number;
  /** When the open window ends, ms since the epoch by the store's clock; undefined when none is open. Never moves while it is open. */
  readonly resetAt: number | undefined;
}

export type Reservation =
  | { readonly kind: "admitted"; readonly states: readonly RuleState[] }
  /** `state` is the first rule that did not pass; at `retryAt` (ms since the epoch) the same request passes. */
  | { readonly kind: "refused"; readonly state: RuleState; readonly retryAt: number }
  /** The deadline had passed when the store looked: nothing was done. */
  | { readonly kind: "late" };

export interface ReserveCall {
  /** Unique for the request; a second call with it returns the first one's answer. Remembered 10 minutes after settlement. */
  readonly requestId: string;
  /** `source:id` of the actor. Any characters. */
  readonly actor: string;
  readonly rules: readonly Rule[];
  /** ms since the epoch by the store's clock (see `now`) after which the call must have no effect. */
  readonly deadlineAt: number;
  /** Start of the usage event, written to the outbox together with the counters. Opaque to the store. */
  readonly intent: string;
}

export interface SettleCall {
  readonly requestId: string;
  readonly actor: string;
  /** Units really used, by rule key; a rule left out keeps what was held. */
  readonly used: Readonly<Record<string, number>>;
  readonly deadlineAt: number;
  /** How the request ended, for the outbox. Opaque to the store. */
  readonly outcome: string;
}

/** How a settlement ended. `gone`: there was no live hold (settled before, or its lease ended): nothing was done. */
export type Settlement =
  | { readonly kind: "settled"; readonly states: readonly RuleState[] }
  | { readonly kind: "gone" }
  | { readonly kind: "late" };

/** A hold whose lease ended unsettled, as `reap` found and settled it. */
export interface AbandonedHold {
  readonly requestId: string;
  readonly actor: string;
  /** True when the upstream had been reached: then it was charged as held, else refunded. */
  readonly charged: boolean;
  readonly intent: string;
}

/** Throws `UnavailableError` with reason `QUOTA_STORE_UNAVAILABLE` when it cannot answer in its time. */
export interface QuotaStore {
  /** The store's clock, ms since the epoch: the only time that windows and leases follow. */
  now(): number;
  /** Looks at every rule and, only if all pass, counts and holds them. Atomic. */
  reserve(call: ReserveCall): Promise<Reservation>;
  /** Settles a live hold at what was used and ends it. The difference may leave a debt. */
  commit(call: SettleCall): Promise<Settlement>;
  /** Settles a live hold at nothing and ends it. */
  refund(call: Omit<SettleCall, "used">): Promise<Settlement>;
  /** Extends the lease of live holds by `leaseMs`; `reached` marks that the upstream was reached. */
  renew(holds: readonly { requestId: string; actor: string; reached: boolean }[]): Promise<void>;
  /** Settles what is left of holds whose lease ended: at most `max` of them. */
  reap(max: number): Promise<readonly AbandonedHold[]>;
  /** Where the given rules stand; consumes nothing. */
  usage(actor: string, rules: readonly Rule[]): Promise<readonly RuleState[]>;
  /** Zeroes the actor's counters with these keys; live holds stay. Returns what was used. */
  reset(actor: string, keys: readonly string[]): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}
