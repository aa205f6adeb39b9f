// The table that usage events go to, and how they get there.

import type { UsageEvent } from "../event.js";

const table = "cody_gateway_events";

/** What stands in columns of its own, beside the whole event: SQL, and the value. */
const columns: Readonly<Record<string, readonly [definition: string, value: (event: UsageEvent) => unknown]>> = {
  id: ["text primary key", (event) => event.id],
  time: ["timestamptz not null", (event) => event.time],
  outcome: ["text not null", (event) => event.outcome],
  reason: ["text", (event) => event.reason],
  actor_source: ["text not null", (event) => event.actor.source],
  actor_id: ["text not null", (event) => event.actor.id],
  feature: ["text not null", (event) => event.feature],
  model: ["text", (event) => event.model],
  upstream: ["text", (event) => event.upstream],
  charged: ["boolean not null", (event) => event.charged],
  input_tokens: ["bigint", (event) => event.usage.inputTokens],
  output_tokens: ["bigint", (event) => event.usage.outputTokens],
  // Not `jsonb`: that does not take every text.
  event: ["json not null", (event) => JSON.stringify(event)],
};

const definitions = Object.entries(columns).map(([name, [definition]]) => `  ${name} ${definition}`);
const arrays = Object.values(columns).map(([definition], index) => `$${index + 1}::${definition.split(" ")[0]}[]`);

/** Makes the table where there is none. */
export const createTable = `create table if not exists ${table} (\n${definitions.join(",\n")}\n)`;

/** Adds events, all or none; those that are there already are left as they are. Its parameters are `columnsOf` them. */
export const insertEvents = [
  `insert into ${table} (${Object.keys(columns).join(", ")})`,
  `select * from unnest(${arrays.join(", ")})`,
  "on conflict (id) do nothing",
].join(" ");

/** The events' values, column by column. */
export function columnsOf(events: readonly UsageEvent[]): unknown[][] {
  return Object.values(columns).map(([, value]) => events.map((event) => storable(value(event))));
}

/** A text of Postgres cannot hold the character 0; JSON has escapes for it. */
function storable(value: unknown): unknown {
  return typeof value === "string" ? value.replaceAll("\u0000", "\ufffd") : (value ?? null);
}
