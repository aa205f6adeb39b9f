import type { Feature } from "../actors/actor.js";
import { UnavailableError } from "../errors.js";
import type { BlindCounts } from "./blind.js";
import { createDemand, type Estimates } from "./estimates.js";
import {
  type Admitted,
  cancelLater,
  createBlindHold,
  createHold,
  inTime,
  type SettlementParts,
  unlimitedHold,
} from "./hold.js";
import type { Hold, QuotaRequest } from "./quota.js";
import type { Refusals } from "./refusals.js";
import type { Report } from "./report.js";
import { actorKey, limitsFor, toRule } from "./rules.js";
import type { QuotaStore } from "./store.js";

/** How a request was let in. `blind`: without the store, which is away. */
export interface Admission {
  readonly kind: "admitted" | "blind";
  readonly hold: Hold;
}

export interface AdmissionParts {
  readonly store: QuotaStore;
  readonly report: Report;
  readonly estimates: Estimates;
  readonly refusals: Refusals;
  readonly blind: BlindCounts;
  readonly settlement: SettlementParts;
}

/** Decides about one request after another. Throws as `Quota.reserve` does. */
export function createAdmission(parts: AdmissionParts): (request: QuotaRequest) => Promise<Admission> {
  const { store, report, estimates, refusals, blind, settlement } = parts;

  function admitBlind(feature: Feature, admitted: Admitted, away: UnavailableError): Hold {
    const giveBack = blind.take(admitted.actor, feature, admitted.rules);
    if (giveBack !== undefined) return createBlindHold(settlement, admitted, giveBack);
    cancelLater(settlement, admitted);
    throw away;
  }

  return async (request) => {
    const { requestId, feature, intent } = request;
    const limits = limitsFor(request.actor, feature, request.model, request.endUser);
    if (limits.length === 0) return { kind: "admitted", hold: unlimitedHold };

    const actor = actorKey(request.actor);
    const demand = createDemand(estimates, request);
    const known = refusals.find(actor, limits, demand, store.now());
    if (known !== undefined) throw report.refusal(limits, known);

    const rules = limits.map((limit) => toRule(limit, demand.amountOf(limit.unit)));
    const admitted = { requestId, actor, limits, rules, intent, expectation: demand.expectation };
    try {
      const answer = await inTime(settlement, (deadlineAt) =>
        store.reserve({ requestId, actor, rules, deadlineAt, intent }),
      );
      if (answer.kind === "admitted")
        return { kind: "admitted", hold: createHold(settlement, admitted, report.states(limits, answer.states)) };
      refusals.add(actor, rules, answer, store.now());
      throw report.refusal(limits, answer);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      return { kind: "blind", hold: admitBlind(feature, admitted, error) };
    }
  };
}
