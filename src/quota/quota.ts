import type { Actor, Feature, Unit } from "../actors/actor.js";

/** Where one limit of an actor stands, as callers are told. */
export interface LimitState {
  readonly feature: Feature;
  readonly unit: Unit | "in_flight";
  readonly limit: number;
  readonly used: number;
  /** Never negative: a debt shows as 0. */
  readonly remaining: number;
  /** When the open window ends; undefined while none is open, and for in-flight limits. */
  readonly resetAt: Date | undefined;
  /** Length of the window; undefined for in-flight limits. */
  readonly windowMs: number | undefined;
  /** Model patterns the limit is for; undefined: all of the feature. */
  readonly models: readonly string[] | undefined;
  /** A short window against bursts. */
  readonly burst: boolean;
}

/** What a request used. `undefined` is unknown: then what was held is charged. */
export interface Amounts {
  readonly tokens: number | undefined;
  readonly microdollars: number | undefined;
}

export interface QuotaRequest {
  readonly requestId: string;
  readonly actor: Actor;
  readonly feature: Feature;
  /** Gateway model name, `anthropic/claude-…`. */
  readonly model: string;
  /** Called only when a limit in tokens or money applies: what the request will probably use. */
  estimate(): { readonly tokens: number; readonly microdollars: number };
  /** Start of the usage event. Opaque. */
  readonly intent: string;
}

/** What one request has reserved of its actor's limits and not settled yet. */
export interface Hold {
  /** The limits that apply, as they stood at admission; after a settlement, as they stand then. */
  readonly states: readonly LimitState[];
  /** The request is on its way to the upstream: should this process die now, the hold is charged, not refunded. */
  reached(): void;
  /** Settles the hold at what was used and frees its slot. Safe to call twice; never throws. */
  commit(used: Amounts, outcome: string): Promise<void>;
  /** Settles the hold at nothing and frees its slot. Safe to call twice; never throws. */
  refund(outcome: string): Promise<void>;
}

/** The rules, on any store. */
export interface Quota {
  /**
   * Throws `FeatureNotGrantedError`, `QuotaExceededError`, `TooManyInFlightError`, or `UnavailableError` when the store
   * is away; then nothing is held.
   */
  reserve(request: QuotaRequest): Promise<Hold>;
  /** Where all limits of the actor stand, by feature; features without access are absent. Consumes nothing. */
  limits(actor: Actor): Promise<ReadonlyMap<Feature, readonly LimitState[]>>;
  /** Zeroes the actor's counters of a feature; returns what was used of each unit. */
  reset(actor: Actor, feature: Feature): Promise<Readonly<Partial<Record<Unit, number>>>>;
  /** Stops renewing and sweeping; the store stays open. */
  close(): void;
}
