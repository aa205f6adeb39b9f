import {
  ListSourcesResponseSchema,
  type Source,
  SourceState,
  SourceStateSchema,
  type SyncCounts,
  SyncOutcome,
  SyncOutcomeSchema,
  type SyncSourceResponse,
  SyncSourceResponseSchema,
  type SyncSummary,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { adminClient, printJson } from "./admin-client.js";
import { duration, relative, word } from "./admin-format.js";
import { adminUsages } from "./admin-usages.js";
import { repeatWhile } from "./admin-watch.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { complain, type Io, line } from "./io.js";
import { bar, createProgress } from "./progress.js";
import { type Cell, printable, table } from "./table.js";

/** `admin sources`. */
export async function listSources(args: readonly string[], io: Io): Promise<number> {
  const options = { json: { type: "boolean" }, watch: { type: "boolean" } } as const;
  const { values } = readArgs(args, {
    options,
    min: 0,
    max: 0,
    usage: adminUsages.sources,
  });
  const client = adminClient(io);
  return repeatWhile(values.watch === true, io, async (call) => {
    const response = await client.listSources({}, call);
    if (values.json) printJson(io, ListSourcesResponseSchema, response);
    else line(io.stdout, sourcesTable(response.sources));
  });
}

function sourcesTable(sources: readonly Source[]): string {
  const header = ["source", "kind", "actors", "state", "last sync", "", "next", "synced by"];
  const rows = sources.map((source): Cell[] => [
    source.name,
    source.kind,
    source.actorCount,
    stateText(source),
    source.lastSync ? relative(source.lastSync.endTime) : "",
    source.runningSync ? `running, ${source.runningSync.seen} seen` : outcomeText(source.lastSync),
    relative(source.nextSyncTime),
    source.syncLockHolder,
  ]);
  return table(header, rows);
}

function stateText({ state, stateError }: Source): string {
  if (state === SourceState.UNSPECIFIED) return "not asked yet";
  const text = word(SourceStateSchema, state);
  return stateError === "" ? text : `${text}: ${stateError}`;
}

function outcomeText(summary: SyncSummary | undefined): string {
  if (!summary) return "";
  const outcome = word(SyncOutcomeSchema, summary.outcome);
  return summary.error === "" ? outcome : `${outcome}: ${summary.error}`;
}

/** `admin sync`: 3 when the shrink guard held a sync, 1 when one failed. */
export async function syncSources(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    "dry-run": { type: "boolean", default: false },
    "allow-shrink": { type: "boolean", default: false },
    reason: { type: "string", default: "" },
  } as const;
  const usage = adminUsages.sync;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  if (values["allow-shrink"] && values.reason === "") throw new UsageError("expected --reason with --allow-shrink");
  const request = {
    source: positionals[0] ?? "",
    dryRun: values["dry-run"],
    allowShrink: values["allow-shrink"],
    reason: values.reason,
  };
  const view = values.json ? jsonView(io) : syncView(io);
  try {
    for await (const response of adminClient(io).syncSource(request)) view.take(response);
  } catch (error) {
    view.broken();
    throw error;
  }
  return view.end();
}

interface SyncView {
  take(response: SyncSourceResponse): void;
  /** There is nothing more to come, though it is not done. */
  broken(): void;
  /** The exit code. */
  end(): number;
}

function jsonView(io: Io): SyncView {
  const ends = createEnds();
  return {
    take(response) {
      printJson(io, SyncSourceResponseSchema, response);
      ends.take(response);
    },
    broken: () => undefined,
    end: ends.code,
  };
}

/** A line of progress for all sources together, what is remarkable as it comes, a summary at the end. */
function syncView(io: Io): SyncView {
  const progress = createProgress(io.stderr);
  const running = new Map<string, SyncCounts | undefined>();
  const ends = createEnds();
  const say = (text: string): void => {
    progress.clear();
    line(io.stdout, printable(text));
  };
  return {
    take(response) {
      ends.take(response);
      const { source, event } = response;
      if (event.case === "started") {
        running.set(source, undefined);
        if (event.value.joined) say(`${source}: joined the sync that ${event.value.process} is doing`);
      } else if (event.case === "progress") {
        running.set(source, event.value.counts);
        for (const { kind, actor, name, detail } of event.value.changes)
          say(`${source}: ${changeWord(kind)} ${actor?.id ?? ""} ${name}${detail === "" ? "" : `: ${detail}`}`);
      } else if (event.case === "held") {
        complain(
          io,
          `${source}: ${printable(event.value.reason)}\nTo let it through: cody-gateway admin sync ${source} --allow-shrink --reason …`,
        );
      } else running.delete(source);
      progress.show(
        [...running].map(([name, counts]) => `${name} ${progressText(counts, io.stderr.columns)}`).join("   "),
      );
    },
    broken: progress.clear,
    end() {
      progress.clear();
      line(io.stdout, ends.table());
      return ends.code();
    },
  };
}

function changeWord(kind: number): string {
  return ["", "adds", "changes", "removes", "leaves out"][kind] ?? "";
}

function progressText(counts: SyncCounts | undefined, columns: number | undefined): string {
  if (!counts) return "…";
  const { seen, estimatedTotal, added, changed, removed } = counts;
  return `${bar(seen, estimatedTotal, columns)}  ${added} added, ${changed} changed, ${removed} removed`;
}

/** How the syncs ended. */
function createEnds() {
  const rows: Cell[][] = [];
  let held = false;
  let failed = false;
  const header = [
    "source",
    "outcome",
    "seen",
    "added",
    "changed",
    "unchanged",
    "removed",
    "left out",
    "pages",
    "took",
    "error",
  ];
  return {
    take({ source, event }: SyncSourceResponse): void {
      if (event.case !== "finished") return;
      const { summary } = event.value;
      const counts = summary?.counts;
      held ||= summary?.outcome === SyncOutcome.HELD;
      failed ||= summary?.outcome === SyncOutcome.FAILED || summary?.outcome === SyncOutcome.CANCELED;
      const numbers = [
        counts?.seen,
        counts?.added,
        counts?.changed,
        counts?.unchanged,
        counts?.removed,
        counts?.quarantined,
        counts?.pages,
      ];
      const outcome = `${word(SyncOutcomeSchema, summary?.outcome ?? 0)}${summary?.dryRun ? " (dry run)" : ""}`;
      rows.push([source, outcome, ...numbers, duration(event.value.duration), summary?.error]);
    },
    table: () => table(header, rows, "no source can be synced"),
    code: () => (failed ? exitCodes.failed : held ? exitCodes.held : exitCodes.done),
  };
}
