import type { Syncs } from "../actors/sync.js";
import type { SyncEvent } from "../actors/sync-events.js";
import { type HttpRoute, send } from "./http.js";

/** Syncs all sources now, or joins the syncs under way, and answers with a line for each step when all have ended (wire.md 1.10). */
export function syncAll(syncs: Pick<Syncs, "sync">): HttpRoute["handle"] {
  return async ({ res }) => {
    const lines: object[] = [];
    const failed: string[] = [];
    for await (const event of syncs.sync(undefined)) {
      const line = lineOf(event);
      if (line) lines.push(line);
      if (event.kind === "finished" && !isDone(event.summary.outcome))
        failed.push(`${event.source}: ${event.summary.error ?? event.summary.outcome}`);
    }
    if (failed.length === 0) return send(res, 200, { "content-type": "application/x-ndjson" }, ndjson(lines));
    const error = `failed to sync ${failed.join("; ")}`;
    send(res, 500, { "content-type": "application/json" }, ndjson([{ error }]));
  };
}

/** The shrink guard is no failure: all that is listed was taken over. */
function isDone(outcome: string): boolean {
  return outcome === "succeeded" || outcome === "held";
}

function lineOf(event: SyncEvent): object | undefined {
  const { source, kind } = event;
  const line = (level: string, msg: string, fields: object) => ({
    level,
    time: new Date().toISOString(),
    source,
    ...fields,
    msg,
  });
  if (kind === "started") return line("info", "sync started", { process: event.process, joined: event.joined });
  if (kind === "held") return line("error", "sync held", { ...event.hold });
  if (kind === "progress") return undefined;
  const { outcome, counts, startedAt, endedAt } = event.summary;
  return line("info", "sync finished", { outcome, ...counts, durationMs: endedAt - startedAt });
}

function ndjson(lines: readonly object[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}
