import { UnavailableError } from "../errors.js";
import { count, type Expectation } from "./estimates.js";
import type { Amounts, Hold, LimitState } from "./quota.js";
import type { Refusals } from "./refusals.js";
import type { LiveHold, Renewals } from "./renewal.js";
import type { Report } from "./report.js";
import type { Retries } from "./retries.js";
import type { LimitRule } from "./rules.js";
import { type LazyText, leaseMs, type QuotaStore, type Rule, rememberMs, type Settlement, textOf } from "./store.js";

/** A request that was admitted, in the words of the store. */
export interface Admitted {
  readonly requestId: string;
  /** `source:id` of the actor. */
  readonly actor: string;
  /** The limits that it is counted in. */
  readonly limits: readonly LimitRule[];
  /** The same as rules, with what it holds. */
  readonly rules: readonly Rule[];
  readonly intent: LazyText;
  /** Absent when nothing of the request had to be guessed. */
  readonly expectation: Expectation | undefined;
}

/** What holds are settled with. */
export interface SettlementParts {
  readonly store: QuotaStore;
  readonly renewals: Renewals;
  readonly retries: Retries;
  /** How long a call may take to have an effect. */
  readonly deadlineMs: number;
  readonly report: Report;
  readonly refusals: Pick<Refusals, "settled">;
  /** A hold could not be settled at what was used: its lease had ended. */
  readonly onLost: (requestId: string) => void;
}

/**
 * A settlement that could not be told to the store for so long is pointless: the lease ended long ago. Less than ids stay
 * known, so that what was told already is not told again.
 */
const settleMaxAgeMs = rememberMs - 30_000;

/** The hold of a request that is counted in no limit. */
export const unlimitedHold: Hold = {
  states: [],
  told: false,
  reached: () => undefined,
  commit: () => Promise.resolve(),
  refund: () => Promise.resolve(),
};

/** The hold of a request that the store admitted. */
export function createHold(parts: SettlementParts, admitted: Admitted, states: readonly LimitState[]): Hold {
  const { requestId, actor, limits, expectation } = admitted;
  const live: LiveHold = { requestId, actor, reached: false, place: -1 };
  let settling: Promise<void> | undefined;
  parts.renewals.add(live);

  function finish(answer: Settlement): void {
    parts.renewals.remove(live);
    if (answer.kind === "settled") hold.states = parts.report.states(limits, answer.states);
    parts.refusals.settled(actor);
  }

  async function settle(call: (deadlineAt: number) => Promise<Settlement>): Promise<void> {
    try {
      const answer = await inTime(parts, call);
      finish(answer);
      if (answer.kind !== "gone") return;
      hold.told = true;
      parts.onLost(requestId);
    } catch {
      parts.retries.add({
        // Gone may be a first attempt that landed and whose answer was lost.
        run: async () => finish(await inTime(parts, call)),
        maxAgeMs: settleMaxAgeMs,
        onGivenUp() {
          parts.renewals.remove(live);
          parts.onLost(requestId);
        },
      });
    }
  }

  // Plain members, not accessors: those of an object literal cost as much as all the rest of it.
  const hold: { -readonly [K in keyof Hold]: Hold[K] } = {
    states,
    told: parts.store.tellsOutbox,
    reached: () => parts.renewals.reached(live),
    commit(amounts, outcome) {
      if (settling === undefined) expectation?.learn(amounts);
      const used = usedByKey(limits, amounts);
      const told = hold.told ? textOf(outcome) : "";
      return (settling ??= settle((deadlineAt) =>
        parts.store.commit({ requestId, actor, used, outcome: told, deadlineAt }),
      ));
    },
    refund(outcome) {
      const told = hold.told ? textOf(outcome) : "";
      return (settling ??= settle((deadlineAt) => parts.store.refund({ requestId, actor, outcome: told, deadlineAt })));
    },
  };
  return hold;
}

/**
 * The hold of a request that was admitted while the store was away: what it uses is counted once the store is back, whether
 * the limits have room for it or not. `giveBack` is called when that is done.
 */
export function createBlindHold(parts: SettlementParts, admitted: Admitted, giveBack: () => void): Hold {
  const told = parts.store.tellsOutbox;
  let settled = false;

  function once(run: () => Promise<void>): Promise<void> {
    if (!settled) parts.retries.add({ run });
    settled = true;
    return Promise.resolve();
  }

  return {
    states: [],
    told,
    reached: () => undefined,
    commit(amounts, outcome) {
      if (!settled) admitted.expectation?.learn(amounts);
      const text = told ? textOf(outcome) : "";
      return once(async () => {
        await charge(parts, admitted, amounts, text);
        giveBack();
      });
    },
    refund(outcome) {
      if (!settled) giveBack();
      const text = told ? textOf(outcome) : "";
      return once(() => cancel(parts, admitted, text));
    },
  };
}

/**
 * Frees what an admission without an answer may have held, once the store answers again. Its lease ends by itself. The
 * outbox is told nothing: to its caller the request was refused.
 */
export function cancelLater(parts: SettlementParts, admitted: Admitted): void {
  parts.retries.add({ run: () => cancel(parts, admitted, ""), maxAgeMs: leaseMs, minor: true });
}

async function cancel(parts: SettlementParts, { requestId, actor }: Admitted, outcome: string): Promise<void> {
  await inTime(parts, (deadlineAt) => parts.store.refund({ requestId, actor, deadlineAt, outcome }));
}

/**
 * Counts a request after the fact. Its id keeps this from counting twice: an admission that the store did make before it
 * went away is found again and settled.
 */
async function charge(parts: SettlementParts, admitted: Admitted, amounts: Amounts, outcome: string): Promise<void> {
  const { requestId, actor, intent } = admitted;
  const windows = admitted.rules.filter((rule) => rule.kind === "window");
  const used = {
    ...Object.fromEntries(windows.map(({ key, amount }) => [key, amount])),
    ...usedByKey(admitted.limits, amounts),
  };
  const rules = windows.map((rule) => ({ ...rule, limit: Number.MAX_SAFE_INTEGER }));
  const { store } = parts;
  await inTime(parts, (deadlineAt) => store.reserve({ requestId, actor, rules, deadlineAt, intent }));
  await inTime(parts, (deadlineAt) => store.commit({ requestId, actor, used, deadlineAt, outcome }));
}

/** Calls the store with a deadline. Throws `UnavailableError` when it was late. */
export async function inTime<T extends { readonly kind: string }>(
  { store, deadlineMs }: Pick<SettlementParts, "store" | "deadlineMs">,
  call: (deadlineAt: number) => Promise<T>,
): Promise<Exclude<T, { kind: "late" }>> {
  const answer = await call(store.now() + deadlineMs);
  if (answer.kind === "late") throw new UnavailableError("QUOTA_STORE_UNAVAILABLE", "quota store is too slow", 1_000);
  return answer as Exclude<T, { kind: "late" }>;
}

/** Requests are charged as held, everything else as used, where that is known. */
function usedByKey(limits: readonly LimitRule[], amounts: Amounts): Record<string, number> {
  const used: Record<string, number> = {};
  for (const { key, unit } of limits) {
    if (unit !== "tokens" && unit !== "microdollars") continue;
    const amount = count(amounts[unit]);
    if (amount !== undefined) used[key] = amount;
  }
  return used;
}
