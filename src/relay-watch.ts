// What the route tells of each request to those who look on: the activity as it happens, and the totals by model.

import { ModelNotAllowedError, QuotaExceededError } from "./errors.js";
import type { LimitState } from "./quota/quota.js";
import { tightest } from "./quota/tightest.js";
import type { RelayEnd, RelayParts, RelayRequest } from "./relay.js";
import { priceOf } from "./relay-plan.js";
import type { Activity, ActivityLimit, ActivitySubject } from "./usage/activity.js";
import type { ReachedLimit } from "./usage/alert.js";
import type { UsageEvent } from "./usage/event.js";
import type { Notifier } from "./usage/notify.js";
import type { UsageTotals, UsageWindow } from "./usage/totals.js";

export interface RelayWatch extends Pick<RelayParts, "admitted"> {
  ended(event: UsageEvent, end: RelayEnd): void;
  /** A caller was not let in, or several were, of which this request is the last. */
  denied(event: UsageEvent, requestId: string): void;
}

const dayMs = 86_400_000;

export function createRelayWatch(parts: {
  readonly activity: Pick<Activity, "tell">;
  readonly totals: Pick<UsageTotals, "add">;
  /** Undefined: nobody is alerted. */
  readonly notifier: Pick<Notifier, "observed"> | undefined;
}): RelayWatch {
  const { activity, totals, notifier } = parts;
  return {
    admitted(request, plan, limits) {
      activity.tell(() => {
        const limit = tightest(ownOf(limits));
        const told = { ...subjectOf(request, plan.asked), at: Date.now() };
        return { ...told, kind: "admitted", resolvedModel: plan.route.name, ...(limit && { limit: limitOf(limit) }) };
      });
    },

    ended(event, { request, plan, limits, failure }) {
      notifier?.observed(request.actor, reachedLimits(limits, failure));
      activity.tell(() => {
        const told = { ...subjectOf(request, plan?.asked ?? refusedModel(failure)), at: Date.now() };
        if (event.outcome === "refused") return { ...told, kind: "refused", reason: event.reason ?? "INTERNAL" };
        return { ...told, kind: "ended", event };
      });
      if (!plan || (!event.charged && event.outcome !== "completed")) return;
      const { inputTokens = 0, outputTokens = 0 } = event.usage;
      totals.add({
        actor: `${event.actor.source}/${event.actor.id}`,
        feature: event.feature,
        model: plan.route.name,
        window: windowOf(limits),
        requests: 1,
        inputTokens,
        outputTokens,
        microdollars: priceOf(plan.route, event.usage) ?? 0,
      });
    },

    denied({ actor, feature, reason = "INTERNAL", denied }, requestId) {
      activity.tell(() => {
        const subject = { requestId, actor: { ...actor, name: "" }, feature, path: "" };
        return { ...subject, at: Date.now(), kind: "refused", reason, times: denied?.times ?? 1 };
      });
    },
  };
}

/** Those of the actor itself: what one of its users has left says nothing of it. */
function ownOf(limits: readonly LimitState[]): readonly LimitState[] {
  return limits.some(({ perUser }) => perUser) ? limits.filter(({ perUser }) => !perUser) : limits;
}

/** The windows that are open; of a request that was refused, the one that refused it. */
function reachedLimits(limits: readonly LimitState[], failure: unknown): readonly ReachedLimit[] {
  if (failure instanceof QuotaExceededError) {
    const { windowMs, models, perUser, ...refused } = failure.limit;
    return windowMs === undefined || perUser ? [] : [{ ...refused, windowMs, models, resetAt: failure.retryAt }];
  }
  return ownOf(limits).flatMap(({ feature, unit, limit, used, windowMs, resetAt, models, burst }) =>
    burst || windowMs === undefined || resetAt === undefined
      ? []
      : [{ feature, unit, limit, used, windowMs, resetAt, models }],
  );
}

/** The model of a request for which there is no plan, because its actor may not use it. */
function refusedModel(failure: unknown): string | undefined {
  return failure instanceof ModelNotAllowedError ? failure.model : undefined;
}

function subjectOf({ id, actor, feature, path }: RelayRequest, model: string | undefined): ActivitySubject {
  const { source, id: actorId, name } = actor;
  return { requestId: id, actor: { source, id: actorId, name }, feature, path, ...(model !== undefined && { model }) };
}

function limitOf({ feature, unit, limit, used, remaining, resetAt }: LimitState): ActivityLimit {
  return { feature, unit, limit, used, remaining, resetAt: resetAt?.getTime() };
}

/** The open window of the main limit; where there is none, the day. */
function windowOf(limits: readonly LimitState[]): UsageWindow {
  const main = tightest(ownOf(limits));
  if (main?.resetAt === undefined || main.windowMs === undefined)
    return { openedAt: Math.floor(Date.now() / dayMs) * dayMs, windowMs: dayMs, limit: 0 };
  return { openedAt: main.resetAt.getTime() - main.windowMs, windowMs: main.windowMs, limit: main.limit };
}
