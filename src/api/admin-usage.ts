import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LimitStateSchema, Origin } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { Feature as FeatureEnum } from "../../gen/codygateway/v1/common_pb.js";
import { type Actor, type EndUser, type Feature, features } from "../actors/actor.js";
import type { Roster } from "../actors/roster.js";
import { endUserNamed } from "../auth/end-user.js";
import { NotFoundError } from "../errors.js";
import type { LimitState, Quota } from "../quota/quota.js";
import { tightest } from "../quota/tightest.js";
import type { UsageTotals, WindowUsage } from "../usage/totals.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";
import { toLimitState } from "./admin-messages.js";
import { fromFeatureEnum, limitName, toFeatureEnum } from "./rate-limit.js";

export interface UsageAdminParts {
  readonly roster: Roster;
  readonly quota: Quota;
  readonly totals: UsageTotals;
  /** Tells every process that what it remembers of the actor's refusals is no longer so. */
  readonly forget: (actor: { readonly source: string; readonly id: string }) => void;
  readonly audited: Audited;
}

/** What actors used. */
export function usageHandlers(parts: UsageAdminParts): Pick<AdminHandlers, "getUsage" | "resetUsage"> {
  const { roster, quota, totals, audited } = parts;

  return {
    async getUsage(req) {
      const { source = "", id = "" } = req.actor ?? {};
      const asked = req.feature === FeatureEnum.UNSPECIFIED ? features : [fromFeatureEnum(req.feature)];
      const known = roster.get(source, id);
      const user = userIn(req);
      const limits = known
        ? await quota.limits(withAccess(known.actor), user)
        : new Map<Feature, readonly LimitState[]>();
      const used = await Promise.all(asked.map((feature) => totals.read(`${source}/${id}`, feature)));
      const found = asked.flatMap((feature, index) => {
        const windows = used[index] ?? [];
        const states = limits.get(feature);
        return states || windows.length > 0 ? [featureUsage(feature, states ?? [], windows)] : [];
      });
      if (!known && found.length === 0) throw new NotFoundError("no such actor", `actor/${source}/${id}`);
      return { features: found };
    },

    resetUsage(req, context) {
      const { source = "", id = "" } = req.actor ?? {};
      const actor = { source, id };
      return audited(context, { reason: req.reason, actor }, async () => {
        const known = roster.get(source, id);
        if (!known) throw new NotFoundError("no such actor", `actor/${source}/${id}`);
        const feature = fromFeatureEnum(req.feature);
        const user = userIn(req);
        const only = (limit: Pick<LimitState, "burst" | "perUser">): boolean =>
          limit.perUser === (user !== undefined) &&
          (req.limitName === "" || limitName({ ...limit, feature }) === req.limitName);
        const states = ((await quota.limits(withAccess(known.actor), user)).get(feature) ?? []).filter(only);
        const before = states.flatMap((state) => toLimitState(state, Origin.UNSPECIFIED) ?? []);
        if (before.length === 0) throw new NotFoundError("no such limit", `limit/${req.limitName || feature}`);
        await quota.reset(known.actor, feature, only, user);
        parts.forget(actor);
        return {
          answer: { before },
          before: {
            ...(req.endUser !== undefined && { endUser: req.endUser }),
            limits: before.map((limit) => toJson(LimitStateSchema, limit) as JsonObject),
          },
        };
      });
    },
  };
}

/** What an actor used is there also when its access is switched off. */
function withAccess(actor: Actor): Actor {
  return actor.accessEnabled ? actor : { ...actor, accessEnabled: true };
}

/** The user that is asked for; undefined: none. */
function userIn({ endUser }: { readonly endUser?: string | undefined }): EndUser | undefined {
  return endUser === undefined ? undefined : endUserNamed(endUser);
}

function featureUsage(feature: Feature, all: readonly LimitState[], windows: readonly WindowUsage[]) {
  const states = all.filter(({ perUser }) => !perUser);
  const ofUser = all.filter(({ perUser }) => perUser);
  const main = tightest(states);
  const inFlight = states.find(({ unit }) => unit === "in_flight");
  const openedAt = main?.resetAt && main.windowMs !== undefined ? main.resetAt.getTime() - main.windowMs : undefined;
  // An actor without limits has its day.
  const current = windows.find((window) => isOpen(window, main ? openedAt : undefined, Date.now()));
  return {
    feature: toFeatureEnum(feature),
    inFlight: inFlight?.used ?? 0,
    userLimits: ofUser.flatMap((state) => toLimitState(state, Origin.UNSPECIFIED) ?? []),
    userInFlight: ofUser.find(({ unit }) => unit === "in_flight")?.used ?? 0,
    limits: states.flatMap((state) => {
      const told = toLimitState(state, Origin.UNSPECIFIED);
      const ended = state === main ? windows.filter((window) => window !== current) : [];
      return told ? [{ state: told, lastWindows: ended.map((window) => windowTotal(window, state)) }] : [];
    }),
    models: [...(current?.models ?? [])]
      .toSorted(([, a], [, b]) => b.requests - a.requests)
      .map(([model, { requests, inputTokens, outputTokens, microdollars }]) => ({
        model,
        requests: BigInt(requests),
        inputTokens: BigInt(inputTokens),
        outputTokens: BigInt(outputTokens),
        ...(microdollars > 0 && { microDollars: BigInt(microdollars) }),
      })),
  };
}

function isOpen({ openedAt, windowMs }: WindowUsage, mainOpenedAt: number | undefined, now: number): boolean {
  if (mainOpenedAt !== undefined) return Math.abs(openedAt - mainOpenedAt) < windowMs / 2;
  return openedAt + windowMs > now;
}

function windowTotal({ openedAt, windowMs, limit, models }: WindowUsage, { unit }: LimitState) {
  let used = 0;
  for (const { requests, inputTokens, outputTokens, microdollars } of models.values()) {
    if (unit === "tokens") used += inputTokens + outputTokens;
    else used += unit === "microdollars" ? microdollars : requests;
  }
  return {
    startTime: timestampFromMs(openedAt),
    endTime: timestampFromMs(openedAt + windowMs),
    used: BigInt(used),
    limit: BigInt(limit),
  };
}
