import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SourceState, SyncChange_Kind, SyncOutcome } from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Roster } from "../actors/roster.js";
import type { Sources } from "../actors/sources.js";
import type { Syncs } from "../actors/sync.js";
import type { SyncEvent } from "../actors/sync-events.js";
import type { SyncChange } from "../actors/sync-run.js";
import type { SyncSummary } from "../actors/sync-state.js";
import { NotFoundError } from "../errors.js";
import type { AdminHandlers } from "./admin.js";
import type { Audited } from "./admin-audit.js";

export interface SourceAdminParts {
  readonly roster: Roster;
  readonly sources: Pick<Sources, "all" | "health">;
  readonly syncs: Syncs;
  readonly audited: Audited;
}

/** Where actors come from, and how well what is known follows it. */
export function sourceHandlers(parts: SourceAdminParts): Pick<AdminHandlers, "listSources" | "syncSource"> {
  const { roster, sources, syncs } = parts;

  async function toSource({ name, kind, local, list, lookupId }: Sources["all"][number]) {
    const { last, nextAt, running } = syncs.state(name);
    const health = sources.health(name);
    return {
      name,
      kind,
      canLookUp: true,
      canSync: list !== undefined,
      canRefresh: local !== true && lookupId !== undefined,
      actorCount: roster.count(name),
      state: local ? SourceState.AVAILABLE : states[health.state],
      stateError: health.error ?? "",
      ...(health.lastSuccessAt !== undefined && { lastSuccessTime: timestampFromMs(health.lastSuccessAt) }),
      ...(last && { lastSync: toSummary(last) }),
      ...(nextAt !== undefined && list && { nextSyncTime: timestampFromMs(nextAt) }),
      syncLockHolder: (list && (await syncs.holder(name))) ?? "",
      ...(running && { runningSync: running.counts }),
    };
  }

  return {
    async listSources() {
      return { sources: await Promise.all(sources.all.map(toSource)) };
    },

    async *syncSource(req, context) {
      const { source, dryRun, allowShrink, reason } = req;
      const about = { reason, source, after: { dryRun, allowShrink } };
      const { first, rest } = await parts.audited(context, about, async () => {
        if (source !== "" && !sources.all.some(({ name }) => name === source))
          throw new NotFoundError("no such source", `source/${source}`);
        const sync = syncs.sync(source === "" ? undefined : source, { dryRun, allowShrink });
        const events = sync[Symbol.asyncIterator]();
        // With the first event it is known whether it is refused.
        return { answer: { first: await events.next(), rest: events } };
      });
      try {
        for (let next = first; next.done !== true; next = await rest.next())
          yield { source: next.value.source, event: toEvent(next.value) };
      } finally {
        await rest.return?.();
      }
    },
  };
}

const states = {
  unknown: SourceState.UNSPECIFIED,
  available: SourceState.AVAILABLE,
  failing: SourceState.FAILING,
  paused: SourceState.PAUSED,
} as const;

const outcomes = {
  succeeded: SyncOutcome.SUCCEEDED,
  held: SyncOutcome.HELD,
  failed: SyncOutcome.FAILED,
  canceled: SyncOutcome.CANCELED,
} as const;

const changeKinds = {
  added: SyncChange_Kind.ADDED,
  changed: SyncChange_Kind.CHANGED,
  removed: SyncChange_Kind.REMOVED,
  quarantined: SyncChange_Kind.QUARANTINED,
} as const;

function toSummary({ startedAt, endedAt, outcome, counts, error = "", process, dryRun }: SyncSummary) {
  const startTime = timestampFromMs(startedAt);
  return { startTime, endTime: timestampFromMs(endedAt), outcome: outcomes[outcome], counts, error, process, dryRun };
}

function toEvent(event: SyncEvent) {
  if (event.kind === "started") {
    const { startedAt, process, joined } = event;
    return { case: "started" as const, value: { startTime: timestampFromMs(startedAt), process, joined } };
  }
  if (event.kind === "progress") {
    const { counts, changes } = event;
    return {
      case: "progress" as const,
      value: { counts, changes: changes.map((each) => toChange(event.source, each)) },
    };
  }
  if (event.kind === "held") return { case: "held" as const, value: event.hold };
  const { summary } = event;
  const duration = durationFromMs(summary.endedAt - summary.startedAt);
  return { case: "finished" as const, value: { summary: toSummary(summary), duration } };
}

function toChange(source: string, { kind, id, name, detail }: SyncChange) {
  return { kind: changeKinds[kind], name, detail, ...(id !== undefined && { actor: { source, id } }) };
}
