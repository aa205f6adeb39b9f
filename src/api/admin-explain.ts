import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { RuleCheck_Kind as Kind, Origin } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Actor } from "../actors/actor.js";
import type { Directory, Known } from "../actors/directory.js";
import type { Roster } from "../actors/roster.js";
import { normaliseToken } from "../actors/token.js";
import { endUserNamed } from "../auth/end-user.js";
import {
  type GatewayError,
  NotFoundError,
  QuotaExceededError,
  TooManyInFlightError,
  UnavailableError,
} from "../errors.js";
import { type AccessCheck, type AccessQuestion, type Explainer, explainAccess } from "../relay-explain.js";
import type { AdminHandlers } from "./admin.js";
import { reasonEnum } from "./admin-audit.js";
import { toActor, toLimitState } from "./admin-messages.js";
import { messageOf } from "./errors.js";
import { fromFeatureEnum } from "./rate-limit.js";

export interface ExplainAdminParts {
  readonly roster: Roster;
  readonly directory: Directory;
  readonly explainer: Explainer;
  readonly isStale: (known: Known) => boolean;
}

/** Whether a request would be let in, and why. */
export function explainHandlers(parts: ExplainAdminParts): Pick<AdminHandlers, "explainAccess"> {
  const { roster, explainer } = parts;

  function callerOf(caller: { case: string | undefined; value?: unknown }): AccessQuestion["caller"] {
    if (caller.case === "accessToken") return { token: normaliseToken(caller.value as string) };
    const { source, id } = caller.value as { source: string; id: string };
    const known = roster.get(source, id);
    if (!known) throw new NotFoundError("no such actor", `actor/${source}/${id}`);
    return { actor: known.actor };
  }

  function toKnown({ source, id }: Actor) {
    const known = roster.get(source, id);
    return known && toActor(known, undefined, parts.isStale(known));
  }

  return {
    async explainAccess(req) {
      const { refusal, actor, checks } = await explainAccess(explainer, {
        caller: callerOf(req.caller),
        endUser: endUserNamed(req.endUser),
        feature: fromFeatureEnum(req.feature),
        model: req.model === "" ? undefined : req.model,
        tokens: Number(req.tokens ?? 1n),
        microdollars: Number(req.microDollars ?? 1n),
      });
      const known = actor && toKnown(actor);
      const retryAt = refusal && retryTime(refusal);
      return {
        allowed: refusal === undefined,
        ...(refusal && { reason: reasonEnum(refusal.reason), message: messageOf(refusal) }),
        ...(retryAt && { retryTime: timestampFromDate(retryAt) }),
        ...(known && { actor: known }),
        resolvedModel: resolvedModel(checks),
        checks: checks.map(toCheck),
      };
    },
  };
}

/** When the same request would pass, where time alone mends it. */
function retryTime(refusal: GatewayError): Date | undefined {
  if (refusal instanceof QuotaExceededError || refusal instanceof TooManyInFlightError) return refusal.retryAt;
  if (refusal instanceof UnavailableError) return new Date(Date.now() + refusal.retryAfterMs);
  return undefined;
}

function resolvedModel(checks: readonly AccessCheck[]): string {
  for (const check of checks) if (check.kind === "model") return check.route?.name ?? "";
  return "";
}

const kinds = { token: Kind.TOKEN, access: Kind.ACCESS, feature: Kind.FEATURE, model: Kind.MODEL } as const;

function toCheck(check: AccessCheck) {
  const { refusal } = check;
  const common = {
    passed: refusal === undefined,
    ...(refusal && { reason: reasonEnum(refusal.reason) }),
    detail: refusal ? messageOf(refusal) : detailOf(check),
  };
  if (check.kind !== "limit") return { ...common, kind: kinds[check.kind] };
  const { state, requested } = check;
  const { perUser } = state;
  if (state.unit === "in_flight")
    return { ...common, kind: Kind.IN_FLIGHT, inFlight: state.used, inFlightLimit: state.limit, perUser };
  const limit = toLimitState(state, Origin.UNSPECIFIED);
  return { ...common, perUser, kind: Kind.LIMIT, requested: BigInt(requested), ...(limit && { limit }) };
}

function detailOf(check: AccessCheck): string {
  if (check.kind === "limit") {
    const { used, limit, unit, perUser } = check.state;
    const what = unit === "in_flight" ? "requests in flight" : `${unit} used`;
    return `${used} of ${limit} ${what}${perUser ? " by this user" : ""}`;
  }
  if (check.kind === "model") return check.route ? `served as ${check.route.name}` : "served by one of several routes";
  return { token: "the token is known and not revoked", access: "the actor has access", feature: "the actor has it" }[
    check.kind
  ];
}
