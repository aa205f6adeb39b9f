import type { Clock } from "../lib/clock.js";
import type { Database } from "../lib/database.js";
import type { AlertClaims } from "./alert.js";
import { createMemoryClaims } from "./memory-claims.js";

const versions = [
  `CREATE TABLE alert_claims (
    key TEXT PRIMARY KEY, threshold REAL NOT NULL, until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
];

interface Row {
  readonly key: string;
  readonly threshold: number;
  readonly until: number;
}

/** Claims of one process. A restart finds again what was told of, not who was at it: nobody is. Throws `DatabaseUnusableError`. */
export async function createDatabaseClaims(parts: {
  readonly clock: Clock;
  /** It does not close it. */
  readonly database: Database;
}): Promise<AlertClaims> {
  const { clock, database } = parts;
  const memory = createMemoryClaims({ clock });
  await database.migrate("alerts", versions);
  const rows = await database.read<Row>("SELECT key, threshold, until FROM alert_claims WHERE until > ?", [
    clock.now(),
  ]);
  for (const { key, threshold, until } of rows) await memory.told({ key, threshold, until: new Date(until) });
  return {
    ...memory,
    async told(claim) {
      await memory.told(claim);
      const { key, threshold, until } = claim;
      // While the disk takes nothing, alerts go on; a restart may then repeat one.
      await database
        .write([
          { sql: "DELETE FROM alert_claims WHERE until <= ?", params: [clock.now()] },
          {
            sql: `INSERT INTO alert_claims (key, threshold, until) VALUES (?, ?, ?)
              ON CONFLICT DO UPDATE SET threshold = max(threshold, excluded.threshold), until = excluded.until`,
            params: [key, threshold, until.getTime()],
          },
        ])
        .catch(() => undefined);
    },
  };
}
