// The table of the existing gateway, and a usage event as a row of it.

import type { UsageEvent } from "../event.js";

/** A table of BigQuery. */
export interface BigQueryTable {
  readonly project: string;
  readonly dataset: string;
  readonly table: string;
}

interface Column {
  readonly type: "STRING" | "TIMESTAMP" | "JSON";
  readonly mode: "REQUIRED" | "NULLABLE";
  readonly description: string;
  readonly value: (event: UsageEvent) => string;
}

const columns: Readonly<Record<string, Column>> = {
  name: {
    type: "STRING",
    mode: "REQUIRED",
    description: "What happened, in a word of the existing gateway: CompletionsFinished",
    value: nameOf,
  },
  source: {
    type: "STRING",
    mode: "REQUIRED",
    description: "Source of the actor",
    value: ({ actor }) => actor.source,
  },
  identifier: {
    type: "STRING",
    mode: "REQUIRED",
    description: "The actor within its source",
    value: ({ actor }) => actor.id,
  },
  created_at: {
    type: "TIMESTAMP",
    mode: "REQUIRED",
    description: "When the request arrived",
    value: ({ time }) => time,
  },
  metadata: {
    type: "JSON",
    mode: "NULLABLE",
    description: "What the existing gateway says of it, and as `event` the whole usage event",
    value: (event) => jsonText(metadataOf(event)),
  },
};

/** The table's schema, as `bq mk --schema` takes it from a file. */
export const bigQuerySchema = Object.entries(columns).map(([name, { type, mode, description }]) => ({
  name,
  type,
  mode,
  description,
}));

/** What makes the table. */
export function createTableCommand({ project, dataset, table }: BigQueryTable): string {
  const schema = bigQuerySchema.map(({ name, type }) => `${name}:${type}`).join(",");
  const layout = "--time_partitioning_field=created_at --clustering_fields=source,identifier";
  return `bq mk --table ${layout} ${project}:${dataset}.${table} ${schema}`;
}

/** A row as `insertAll` takes it. BigQuery takes rows with one `insertId` for one, for a minute or so. */
export function rowOf(event: UsageEvent): string {
  const json = Object.fromEntries(Object.entries(columns).map(([name, { value }]) => [name, value(event)]));
  return jsonText({ insertId: event.id, json });
}

/** Half of a character, which a caller may have sent in a name, is no text to BigQuery. */
function jsonText(value: object): string {
  return JSON.stringify(value, (_, member: unknown) => (typeof member === "string" ? member.toWellFormed() : member));
}

const overLimit = new Set(["QUOTA_EXCEEDED", "TOO_MANY_IN_FLIGHT", "FEATURE_NOT_GRANTED"]);

/** `TokensCounted` and `RequestRefused` are none of the existing gateway's: what counts its requests is to count as before. */
function nameOf({ denied, outcome, reason = "", charged, feature }: UsageEvent): string {
  if (denied) return reason === "TOKEN_INVALID" ? "Unauthorized" : "AccessDenied";
  if (reason === "PROMPT_BLOCKED") return "RequestBlocked";
  if (outcome === "refused") return overLimit.has(reason) ? "RateLimited" : "RequestRefused";
  if (outcome === "completed" && !charged) return "TokensCounted";
  return feature === "embeddings" ? "EmbeddingsFinished" : "CompletionsFinished";
}

const causes: Readonly<Record<string, string>> = { QUOTA_EXCEEDED: "quota", TOO_MANY_IN_FLIGHT: "concurrency" };

/** What is not known is absent: queries for text fail at JSON's `null`. */
function metadataOf(event: UsageEvent): object {
  const { outcome, reason = "", denied, flagged, endUser, usage, feature, upstreamStatus } = event;
  const embeds = feature === "embeddings";
  return {
    event_id: event.id,
    trace_id: event.trace_id,
    feature,
    model: event.model,
    provider: event.provider,
    stream: event.stream,
    upstream_request_duration_ms: Math.round(event.upstreamMs),
    upstream_status_code: upstreamStatus,
    // Of the others the event does not say what the caller was answered.
    resolved_status_code: outcome === "completed" ? upstreamStatus : undefined,
    tokens_used: embeds ? usage.inputTokens : undefined,
    prompt_token_count: embeds ? undefined : usage.inputTokens,
    completion_token_count: embeds ? undefined : usage.outputTokens,
    sg_actor_id: endUser?.id,
    sg_actor_anonymous_uid: endUser?.anonymousId,
    reason: denied?.why,
    error: overLimit.has(reason) ? reason : undefined,
    cause: causes[reason],
    limit: event.limit?.limit,
    ...(flagged && { flagged: true, flagging_result: flaggingOf(flagged) }),
    event,
  };
}

function flaggingOf({ reasons, blocked, blockedPhrase }: NonNullable<UsageEvent["flagged"]>): object {
  return { reason: reasons, should_block: blocked, blocked_phrase: blockedPhrase };
}
