// The store's promises, said as plainly as possible: everything that happened is kept, and what stands follows from it.

import type { ReserveCall, Rule } from "../../src/quota/store.js";

/** What the model says of one rule. Times are left out by those who cannot predict them. */
export interface Standing {
  readonly key: string;
  readonly used: number;
  readonly held: number;
  readonly limit: number;
  readonly resetAt: number | undefined;
}

interface Window {
  readonly actor: string;
  readonly key: string;
  readonly openedAt: number;
  endsAt: number;
}

interface Request {
  readonly call: ReserveCall;
  readonly shares: readonly { readonly rule: Rule; readonly window: Window | undefined; readonly held: number }[];
  leaseEndsAt: number;
  reached: boolean;
  /** Units charged, by rule key; undefined while it is live. */
  charged: Readonly<Record<string, number>> | undefined;
}

export interface QuotaModel {
  reserve(call: ReserveCall): {
    kind: "admitted" | "refused" | "late";
    states: Standing[];
    retryAt: number | undefined;
  };
  settle(actor: string, requestId: string, used: Readonly<Record<string, number>> | "nothing"): "settled" | "gone";
  renew(actor: string, requestId: string, reached: boolean): void;
  reset(actor: string, keys: readonly string[]): Record<string, number>;
  /** Abandoned holds not told of yet: actor and request id → charged. */
  reap(): Map<string, boolean>;
  standing(actor: string, rules: readonly Rule[]): Standing[];
  advance(ms: number): void;
}

export function createQuotaModel({ leaseMs, startAt }: { leaseMs: number; startAt: number }): QuotaModel {
  let now = startAt;
  const windows: Window[] = [];
  const requests: Request[] = [];
  const abandoned = new Map<string, boolean>();

  function openWindow(actor: string, rule: Rule): Window | undefined {
    if (rule.kind === "in_flight") return undefined;
    const last = windows.findLast((window) => window.actor === actor && window.key === rule.key);
    return last !== undefined && Math.min(last.endsAt, last.openedAt + rule.windowMs) > now ? last : undefined;
  }

  /** Sum of what was charged and of what is held, in the open window; for in-flight rules, of live holds. */
  function sums(actor: string, rule: Rule): { used: number; held: number } {
    const open = openWindow(actor, rule);
    const sum = { used: 0, held: 0 };
    for (const { call, shares, charged } of requests) {
      for (const share of shares) {
        if (call.actor !== actor || share.rule.key !== rule.key || share.window !== open) continue;
        if (rule.kind === "window" && open === undefined) continue;
        const live = charged === undefined ? share.held : 0;
        sum.held += live;
        sum.used += live + (rule.kind === "in_flight" ? 0 : (charged?.[rule.key] ?? 0));
      }
    }
    return sum;
  }

  function standingOf(actor: string, rule: Rule): Standing {
    const open = openWindow(actor, rule);
    const resetAt = open && rule.kind === "window" ? Math.min(open.endsAt, open.openedAt + rule.windowMs) : undefined;
    return { key: rule.key, ...sums(actor, rule), limit: rule.limit, resetAt };
  }

  function endLeases(): void {
    for (const request of requests) {
      if (request.charged !== undefined || request.leaseEndsAt > now) continue;
      request.charged = chargeOf(request, request.reached ? {} : "nothing");
      abandoned.set(`${request.call.actor} ${request.call.requestId}`, request.reached);
    }
  }

  function chargeOf({ shares }: Request, used: Readonly<Record<string, number>> | "nothing"): Record<string, number> {
    return Object.fromEntries(
      shares.map(({ rule, held }) => [rule.key, used === "nothing" ? 0 : (used[rule.key] ?? held)]),
    );
  }

  function count(call: ReserveCall): void {
    const shares = call.rules.map((rule) => {
      const open = openWindow(call.actor, rule);
      if (rule.kind === "in_flight") return { rule, window: undefined, held: 1 };
      const fresh = { actor: call.actor, key: rule.key, openedAt: now, endsAt: now + rule.windowMs };
      if (open === undefined) windows.push(fresh);
      const window = open ?? fresh;
      window.endsAt = Math.min(window.endsAt, window.openedAt + rule.windowMs);
      return { rule, window, held: amountOf(rule) };
    });
    requests.push({ call, shares, leaseEndsAt: now + leaseMs, reached: false, charged: undefined });
  }

  const live = (actor: string, requestId: string): Request | undefined =>
    requests.find(({ call, charged }) => call.actor === actor && call.requestId === requestId && charged === undefined);

  return {
    reserve(call) {
      if (now > call.deadlineAt) return { kind: "late", states: [], retryAt: undefined };
      endLeases();
      const standing = (): Standing[] => call.rules.map((rule) => standingOf(call.actor, rule));
      const seen = requests.some((other) => other.call.actor === call.actor && other.call.requestId === call.requestId);
      if (seen) return { kind: "admitted", states: standing(), retryAt: undefined };
      const retries = standing().flatMap((state, index) => {
        const rule = call.rules[index] as Rule;
        if (state.used < rule.limit && state.used + amountOf(rule) <= rule.limit) return [];
        return [rule.kind === "in_flight" ? now + 1_000 : (state.resetAt ?? now + rule.windowMs)];
      });
      if (retries.length > 0) return { kind: "refused", states: standing(), retryAt: Math.max(...retries) };
      count(call);
      return { kind: "admitted", states: standing(), retryAt: undefined };
    },
    settle(actor, requestId, used) {
      endLeases();
      const request = live(actor, requestId);
      if (request === undefined) return "gone";
      request.charged = chargeOf(request, used);
      return "settled";
    },
    renew(actor, requestId, reached) {
      endLeases();
      const request = live(actor, requestId);
      if (request === undefined) return;
      request.leaseEndsAt = now + leaseMs;
      request.reached ||= reached;
    },
    reset(actor, keys) {
      endLeases();
      const used: Record<string, number> = {};
      for (const key of keys) {
        const last = windows.findLast((window) => window.actor === actor && window.key === key);
        if (last === undefined || last.endsAt <= now) continue;
        used[key] = sums(actor, { kind: "window", key, limit: 1, windowMs: Infinity, amount: 0 }).used;
        last.endsAt = now;
      }
      return used;
    },
    reap() {
      endLeases();
      const found = new Map(abandoned);
      abandoned.clear();
      return found;
    },
    standing(actor, rules) {
      endLeases();
      return rules.map((rule) => standingOf(actor, rule));
    },
    advance(ms) {
      now += ms;
    },
  };
}

function amountOf(rule: Rule): number {
  return rule.kind === "in_flight" ? 1 : Math.min(rule.amount, rule.limit);
}
