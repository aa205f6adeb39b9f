import { durationFromMs, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ActivityOutcome, type WatchActivityRequest } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { Feature as FeatureEnum } from "../../gen/codygateway/v1/common_pb.js";
import type { Feature, Unit } from "../actors/actor.js";
import type { Activity, ActivityEvent, ActivityLimit } from "../usage/activity.js";
import { noFeature, type UsageEvent } from "../usage/event.js";
import type { AdminHandlers } from "./admin.js";
import { reasonEnum } from "./admin-audit.js";
import { fromFeatureEnum, toFeatureEnum, toUnitEnum } from "./rate-limit.js";

/** What happens to requests, as it happens. */
export function activityHandlers({ activity }: { readonly activity: Activity }): Pick<AdminHandlers, "watchActivity"> {
  return {
    async *watchActivity(req, context) {
      for await (const watched of activity.watch(matcherOf(req), context.signal)) {
        if (watched.kind === "dropped") {
          yield { event: { case: "dropped" as const, value: { count: BigInt(watched.count) } } };
        } else yield { event: toEvent(watched.event, watched.process) };
      }
    },
  };
}

function matcherOf({ actor, source, feature, outcomes }: WatchActivityRequest): (event: ActivityEvent) => boolean {
  const wanted = feature === FeatureEnum.UNSPECIFIED ? undefined : fromFeatureEnum(feature);
  return (event) =>
    (!actor || (event.actor.source === actor.source && event.actor.id === actor.id)) &&
    (source === "" || event.actor.source === source) &&
    (wanted === undefined || event.feature === wanted) &&
    (outcomes.length === 0 || outcomes.includes(outcomeOf(event)));
}

function outcomeOf(event: ActivityEvent): ActivityOutcome {
  if (event.kind === "admitted") return ActivityOutcome.ADMITTED;
  if (event.kind === "refused") return ActivityOutcome.REFUSED;
  if (event.event.outcome === "abandoned") return ActivityOutcome.ABANDONED;
  // What is charged to no limit has nothing to be refunded: it is over, as it should be or not.
  const good = event.event.charged || event.event.outcome === "completed";
  return good ? ActivityOutcome.FINISHED : ActivityOutcome.REFUNDED;
}

function toEvent(event: ActivityEvent, process: string) {
  const { requestId, actor, model = "", path } = event;
  const activity = {
    time: timestampFromMs(event.at),
    requestId,
    actor: { source: actor.source, id: actor.id },
    actorName: actor.name,
    // Callers who were not let in have none.
    feature: event.feature === noFeature ? FeatureEnum.UNSPECIFIED : toFeatureEnum(event.feature as Feature),
    model,
    resolvedModel:
      event.kind === "admitted" ? event.resolvedModel : event.kind === "ended" ? (event.event.model ?? "") : "",
    outcome: outcomeOf(event),
    path,
    process,
  };
  if (event.kind === "ended") return { case: "finished" as const, value: { activity, ...toFinished(event.event) } };
  if (event.kind === "refused") {
    const { reason, times = 1 } = event;
    return { case: "decision" as const, value: { activity, reason: reasonEnum(reason), times } };
  }
  const { limit } = event;
  return { case: "decision" as const, value: { activity, ...(limit && { rateLimit: toLimit(limit) }) } };
}

function toLimit({ feature, unit, limit, used, remaining, resetAt }: ActivityLimit) {
  return {
    name: feature,
    feature: toFeatureEnum(feature as Feature),
    unit: toUnitEnum(unit as Unit),
    limit: BigInt(limit),
    used: BigInt(used),
    remaining: BigInt(remaining),
    ...(resetAt !== undefined && { resetTime: timestampFromDate(new Date(resetAt)) }),
  };
}

function toFinished({ usage, durationMs, firstByteMs, upstreamStatus, reason }: UsageEvent) {
  const { inputTokens, outputTokens, estimated = false } = usage;
  return {
    usage: {
      ...(inputTokens !== undefined && { inputTokens }),
      ...(outputTokens !== undefined && { outputTokens }),
      estimated,
    },
    duration: durationFromMs(Math.round(durationMs)),
    ...(firstByteMs !== undefined && { firstByteDuration: durationFromMs(Math.round(firstByteMs)) }),
    ...(upstreamStatus !== undefined && { upstreamStatus }),
    ...(reason !== undefined && { reason: reasonEnum(reason) }),
  };
}
