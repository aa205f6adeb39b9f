import { UnavailableError } from "../errors.js";
import type { Clock } from "../lib/clock.js";
import type { Database, Statement } from "../lib/database.js";
import { DatabaseAwayError } from "../lib/database-errors.js";
import { joinWindows, keptMs, keptWindows, type TotalsStore, type UsageSample, type WindowUsage } from "./totals.js";

/** When a caller may ask again while the file cannot be read. */
const retryAfterMs = 1_000;

/** What makes each version of the table out of the one before. Names are kept as JSON: they may have any characters. */
const versions: readonly string[] = [
  `create table usage_totals(
    actor text not null, feature text not null, opened_at integer not null, model text not null,
    window_ms integer not null, unit_limit integer not null,
    requests integer not null, input_tokens integer not null, output_tokens integer not null, microdollars integer not null,
    kept_until integer not null, primary key(actor, feature, opened_at, model)
  ) strict, without rowid;
  create index usage_totals_end on usage_totals(kept_until);`,
];

const add = `insert into usage_totals
  select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9, value->>10
  from json_each(?) where true
  on conflict(actor, feature, opened_at, model) do update set
    window_ms = excluded.window_ms, unit_limit = excluded.unit_limit, kept_until = excluded.kept_until,
    requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens, microdollars = microdollars + excluded.microdollars`;

const forget = "delete from usage_totals where kept_until <= ?";

const read = `select * from usage_totals where actor = ? and feature = ? and kept_until > ? order by opened_at`;

interface Row {
  readonly opened_at: number;
  readonly window_ms: number;
  readonly unit_limit: number;
  readonly model: string;
  readonly requests: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly microdollars: number;
}

/** Totals of one process, in its data directory. */
export async function createDatabaseTotals(parts: {
  readonly database: Database;
  readonly clock: Clock;
}): Promise<TotalsStore> {
  const { database, clock } = parts;
  await database.migrate("totals", versions);
  return {
    add(samples) {
      const now = clock.now();
      return database.write([{ sql: forget, params: [now] }, adding(samples, now)]);
    },
    async read(actor, feature) {
      try {
        const rows = await database.read<Row>(read, [JSON.stringify(actor), feature, clock.now()]);
        return joinWindows([...windowsIn(rows)]);
      } catch (cause) {
        if (!(cause instanceof DatabaseAwayError)) throw cause;
        throw new UnavailableError("QUOTA_STORE_UNAVAILABLE", "usage is unavailable", retryAfterMs, { cause });
      }
    },
  };
}

function adding(samples: readonly UsageSample[], now: number): Statement {
  const rows = samples.map(({ actor, feature, model, window, requests, inputTokens, outputTokens, microdollars }) => [
    JSON.stringify(actor),
    feature,
    Math.round(window.openedAt),
    JSON.stringify(model),
    window.windowMs,
    window.limit,
    ...[requests, inputTokens, outputTokens, microdollars].map(Math.round),
    Math.round(now + Math.min(keptMs, window.windowMs * (keptWindows + 1))),
  ]);
  return { sql: add, params: [JSON.stringify(rows)] };
}

/** Of rows in the order of their windows. */
function* windowsIn(rows: readonly Row[]): Generator<WindowUsage> {
  let models = new Map<string, { requests: number; inputTokens: number; outputTokens: number; microdollars: number }>();
  for (const [at, row] of rows.entries()) {
    const { opened_at: openedAt, window_ms: windowMs, unit_limit: limit, requests, microdollars } = row;
    const totals = { requests, inputTokens: row.input_tokens, outputTokens: row.output_tokens, microdollars };
    models.set(JSON.parse(row.model) as string, totals);
    if (rows[at + 1]?.opened_at === openedAt) continue;
    yield { openedAt, windowMs, limit, models };
    models = new Map();
  }
}
