import type { Clock } from "../lib/clock.js";
import type { Database } from "../lib/database.js";
import type { FlaggedRequest, FlaggedStore } from "./flagged.js";

const versions = [
  `CREATE TABLE flagged_prompts (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, sealed TEXT NOT NULL, at INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
];

interface Row {
  readonly request: string;
  readonly sealed: string;
}

/** Flagged prompts of one process, which a restart finds again. Throws `DatabaseUnusableError`. */
export async function createDatabaseFlaggedStore(parts: {
  readonly clock: Clock;
  /** The store does not close it. */
  readonly database: Database;
}): Promise<FlaggedStore> {
  const { clock, database } = parts;
  await database.migrate("flagged", versions);
  const parse = ({ request }: Pick<Row, "request">): FlaggedRequest => JSON.parse(request) as FlaggedRequest;
  return {
    async put(request, sealed, most) {
      const { key, at, expiresAt } = request;
      await database.write([
        { sql: "DELETE FROM flagged_prompts WHERE expires_at <= ?", params: [clock.now()] },
        {
          sql: "INSERT OR REPLACE INTO flagged_prompts (key, request, sealed, at, expires_at) VALUES (?, ?, ?, ?, ?)",
          params: [key, JSON.stringify(request), sealed, at, expiresAt],
        },
        {
          sql: "DELETE FROM flagged_prompts WHERE key NOT IN (SELECT key FROM flagged_prompts ORDER BY at DESC, key DESC LIMIT ?)",
          params: [most],
        },
      ]);
    },
    async get(key) {
      const sql = "SELECT request, sealed FROM flagged_prompts WHERE key = ? AND expires_at > ?";
      const [row] = await database.read<Row>(sql, [key, clock.now()]);
      return row && { request: parse(row), sealed: row.sealed };
    },
    async list() {
      const sql = "SELECT request FROM flagged_prompts WHERE expires_at > ? ORDER BY at DESC, key DESC";
      return (await database.read<Pick<Row, "request">>(sql, [clock.now()])).map(parse);
    },
    close: async () => undefined,
  };
}
