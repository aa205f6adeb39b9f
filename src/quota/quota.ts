import { type Actor, type EndUser, type Feature, features, type Unit } from "../actors/actor.js";
import { GatewayError, type Reason, UnavailableError } from "../errors.js";
import type { Clock } from "../lib/clock.js";
import type { Span } from "../lib/span.js";
import { createAdmission } from "./admission.js";
import { createBlindCounts, type StoreFailure } from "./blind.js";
import { createDemand, createEstimates } from "./estimates.js";
import { createRefusals } from "./refusals.js";
import { createRenewals } from "./renewal.js";
import { createReport } from "./report.js";
import { createRetries } from "./retries.js";
import { actorKey, type LimitRule, limitsFor, limitsOf, toRule } from "./rules.js";
import type { AbandonedHold, LazyText, QuotaStore, Rule } from "./store.js";
import { startSweep } from "./sweep.js";
import { heldAmount, refusalBy } from "./verdict.js";

/** Where one limit of an actor stands, as callers are told. */
export interface LimitState {
  readonly feature: Feature;
  readonly unit: Unit | "in_flight";
  readonly limit: number;
  readonly used: number;
  /** Of `used`, what requests under way have reserved and may still give back. */
  readonly held: number;
  /** Never negative: a debt shows as 0. */
  readonly remaining: number;
  /** When the open window ends, by the gateway's clock; undefined while none is open, and for in-flight limits. */
  readonly resetAt: Date | undefined;
  /** Length of the window; undefined for in-flight limits. */
  readonly windowMs: number | undefined;
  /** Model patterns the limit is for; undefined: all of the feature. */
  readonly models: readonly string[] | undefined;
  /** A short window against bursts. */
  readonly burst: boolean;
  /** Of the one of the actor's users who asks. */
  readonly perUser: boolean;
}

/** What a request used. `undefined` is unknown: then what was held is charged. */
export interface Amounts {
  /** Of input and output together. */
  readonly tokens: number | undefined;
  readonly microdollars: number | undefined;
  /** The answer broke off: how much whole ones use cannot be learned from it. */
  readonly partial?: boolean;
}

/** What is known of a request's use before it is sent. */
export interface Estimate {
  readonly promptTokens: number;
  /** Most tokens that the answer may have; 0 for embeddings, undefined when nothing caps it. */
  readonly maxOutputTokens: number | undefined;
}

export interface QuotaRequest {
  /** Unique for the request. */
  readonly requestId: string;
  /** Undefined: nobody traces the request. */
  readonly span?: Span | undefined;
  readonly actor: Actor;
  /** Which of the actor's users asks; undefined: that was not said. */
  readonly endUser?: EndUser | undefined;
  readonly feature: Feature;
  /** Gateway model name, `anthropic/claude-…`. */
  readonly model: string;
  /** Called only when a limit in tokens or money applies, once. */
  estimate(): Estimate;
  /** What so many tokens cost in microdollars. Absent or undefined: not known, then learned from what requests cost. */
  price?(tokens: { readonly inputTokens: number; readonly outputTokens: number }): number | undefined;
  /** Start of the usage event. Opaque. */
  readonly intent: LazyText;
}

/** What one request has reserved of its actor's limits and not settled yet. */
export interface Hold {
  /**
   * The limits that apply, as they stood at admission; after a settlement, as they stand then. Empty when none applies, and
   * when the store was away.
   */
  readonly states: readonly LimitState[];
  /**
   * Once it is settled: whether the store sees to it that the outbox is told how the request ended, as `outcome` says or, where
   * the lease had ended before, as abandoned. Otherwise the caller does.
   */
  readonly told: boolean;
  /** The request is on its way to the upstream: should this process die now, the hold is charged, not refunded. */
  reached(): void;
  /** Settles the hold at what was used and frees its slot. Safe to call twice; never throws. */
  commit(used: Amounts, outcome: LazyText): Promise<void>;
  /** Settles the hold at nothing and frees its slot. Safe to call twice; never throws. */
  refund(outcome: LazyText): Promise<void>;
}

/** The rules, on any store. */
export interface Quota {
  /**
   * Throws `AccessDisabledError`, `FeatureNotGrantedError`, `QuotaExceededError`, `TooManyInFlightError` (also for short
   * windows against bursts), or `UnavailableError` when the store is away; then nothing is held.
   */
  reserve(request: QuotaRequest): Promise<Hold>;
  /**
   * What `reserve` would answer now, and where the limits stand that it would count in. Consumes nothing. Throws
   * `UnavailableError` when the store is away.
   */
  explain(request: Omit<QuotaRequest, "requestId" | "intent">): Promise<Explanation>;
  /**
   * Where all limits of the actor stand, by feature, and those of one of its users, where one is given; features without
   * access are absent. Consumes nothing.
   */
  limits(actor: Actor, user?: EndUser): Promise<ReadonlyMap<Feature, readonly LimitState[]>>;
  /**
   * Zeroes the actor's counters of a feature, or only those of some limits; returns what was used of each unit, of several
   * limits the most. Of the actor's users, only that of the given one are looked at.
   */
  reset(
    actor: Actor,
    feature: Feature,
    only?: (limit: Pick<LimitState, "burst" | "perUser">) => boolean,
    user?: EndUser,
  ): Promise<Readonly<Partial<Record<Unit, number>>>>;
  /** Drops what this process remembers of the actor's refusals: its limits or usage were changed elsewhere. */
  forget(actor: Pick<Actor, "source" | "id">): void;
  /**
   * Stops renewing and sweeping; the store stays open. What it could not be told yet is told it now, for at most `timeoutMs`.
   * Resolves to the number of settlements that were not: their holds end with their leases.
   */
  close(timeoutMs?: number): Promise<number>;
}

/** A dry decision. */
export interface Explanation {
  /** The limits that the request would be counted in. Empty where none applies, and where access is refused altogether. */
  readonly limits: readonly ExplainedLimit[];
  /** What `reserve` would throw; undefined when it would admit. */
  readonly refusal: GatewayError | undefined;
}

/** Where one limit stands, and whether it would let the request pass. */
export interface ExplainedLimit {
  readonly state: LimitState;
  /** Units that the request would hold. */
  readonly requested: number;
  /** What the request would be told if this were the only limit. */
  readonly refusal: GatewayError | undefined;
}

/** One answer of `reserve`, for metrics. `blind`: admitted while the store was away. */
export interface Decision {
  readonly feature: Feature;
  readonly kind: "admitted" | "refused" | "blind" | "unavailable";
  /** Absent when admitted. */
  readonly reason?: Reason;
}

/** What a quota is made of. The callbacks must not throw. */
export interface QuotaParts {
  readonly store: QuotaStore;
  readonly clock: Clock;
  readonly onDecision?: (decision: Decision) => void;
  /** A hold of any process was found abandoned and settled. Called in one process for each. The outbox knows, if there is one. */
  readonly onAbandoned?: (hold: AbandonedHold) => void;
  /** A hold of this process could not be settled at what was used: the store had settled it as abandoned. */
  readonly onLost?: (requestId: string) => void;
}

export interface QuotaOptions {
  /** What happens while the store is away; features left out are refused. */
  readonly storeFailure?: Readonly<Partial<Record<Feature, StoreFailure>>>;
  /**
   * How long a call to the store may take to have an effect. A store that others share has a shorter timeout of its own,
   * from when a call is sent: this is for calls that a busy process is late to send. Default 10 s.
   */
  readonly deadlineMs?: number;
  /** Time between renewals of all live holds. Default 10 s. */
  readonly renewMs?: number;
  /** Time between sweeps for abandoned holds. Default 10 s. */
  readonly sweepMs?: number;
}

/** Limits on any store. */
export function createQuota(parts: QuotaParts, options: QuotaOptions = {}): Quota {
  const { store, clock, onDecision, onAbandoned = () => undefined, onLost = () => undefined } = parts;
  const { storeFailure = {}, deadlineMs = 10_000, renewMs = 10_000, sweepMs = 10_000 } = options;
  const report = createReport({ store, clock });
  const estimates = createEstimates();
  const refusals = createRefusals();
  const renewals = createRenewals({ store }, { renewMs });
  const retries = createRetries();
  const blind = createBlindCounts(storeFailure);
  const settlement = { store, renewals, retries, deadlineMs, report, refusals, onLost };
  const admit = createAdmission({ store, report, estimates, refusals, blind, settlement });
  const stopSweep = startSweep({ store, onAbandoned }, { sweepMs });

  return {
    async reserve(request) {
      const { feature } = request;
      try {
        const { kind, hold } = await admit(request);
        onDecision?.(kind === "blind" ? { feature, kind, reason: "QUOTA_STORE_UNAVAILABLE" } : { feature, kind });
        return hold;
      } catch (error) {
        if (error instanceof UnavailableError) onDecision?.({ feature, kind: "unavailable", reason: error.reason });
        else if (error instanceof GatewayError) onDecision?.({ feature, kind: "refused", reason: error.reason });
        throw error;
      }
    },

    async explain(request) {
      let limits: readonly LimitRule[];
      try {
        limits = limitsFor(request.actor, request.feature, request.model, request.endUser);
      } catch (error) {
        if (error instanceof GatewayError) return { limits: [], refusal: error };
        throw error;
      }
      if (limits.length === 0) return { limits: [], refusal: undefined };
      const demand = createDemand(estimates, request);
      const rules = limits.map((limit) => toRule(limit, demand.amountOf(limit.unit)));
      const actor = actorKey(request.actor);
      const states = await store.usage(actor, rules);
      const now = store.now();
      // A request would be told of the refusal that is remembered, though others may stand in its way by now.
      const remembered = refusals.find(actor, limits, demand, now);
      const refusalOf = (from: number, to: number): GatewayError | undefined => {
        const refused = refusalBy(rules.slice(from, to), states.slice(from, to), now);
        return refused && report.refusal(limits, refused);
      };
      return {
        limits: report.states(limits, states).map((state, index) => ({
          state,
          requested: heldAmount(rules[index] as Rule),
          refusal: refusalOf(index, index + 1),
        })),
        refusal: remembered ? report.refusal(limits, remembered) : refusalOf(0, rules.length),
      };
    },

    async limits(actor, user) {
      const granted = features.flatMap((feature) => {
        const limits = actor.accessEnabled ? limitsOf(actor, feature, user) : undefined;
        return limits === undefined ? [] : [{ feature, limits }];
      });
      const rules = granted.flatMap(({ limits }) => limits.map((limit) => toRule(limit, 0)));
      const states = rules.length === 0 ? [] : await store.usage(actorKey(actor), rules);
      return new Map(granted.map(({ feature, limits }) => [feature, report.states(limits, states)]));
    },

    async reset(actor, feature, only = () => true, user) {
      const windows = (limitsOf(actor, feature, user) ?? []).filter(
        (limit) => limit.unit !== "in_flight" && only(limit),
      );
      const key = actorKey(actor);
      const keys = windows.map((limit) => limit.key);
      const used = keys.length === 0 ? {} : await store.reset(key, keys);
      refusals.forget(key);
      return mostOfEachUnit(windows, used);
    },

    forget: (actor) => refusals.forget(actorKey(actor)),

    async close(timeoutMs = 0) {
      stopSweep();
      const untold = await retries.close(timeoutMs);
      renewals.close();
      return untold;
    },
  };
}

function mostOfEachUnit(
  limits: readonly LimitRule[],
  used: Readonly<Record<string, number>>,
): Readonly<Partial<Record<Unit, number>>> {
  const most: Partial<Record<Unit, number>> = {};
  for (const { key, unit } of limits) {
    const units = used[key];
    if (unit !== "in_flight" && units !== undefined) most[unit] = Math.max(most[unit] ?? 0, units);
  }
  return most;
}
