import pg from "pg";
import { EventsRefusedError, type Sink } from "../sink.js";
import { targetKey } from "../target.js";
import { columnsOf, createTable, insertEvents } from "./postgres-table.js";

export interface PostgresSinkOptions {
  /** Time to connect, and for one statement. Default 5 s and 10 s. */
  readonly connectMs?: number;
  readonly timeoutMs?: number;
}

/** Inserts events into one table, which it makes where it is missing. An event that is there is not inserted again. */
export function createPostgresSink(
  url: string,
  { connectMs = 5_000, timeoutMs = 10_000 }: PostgresSinkOptions = {},
): Sink {
  const pool = new pg.Pool({
    connectionString: url,
    max: 1,
    connectionTimeoutMillis: connectMs,
    query_timeout: timeoutMs,
    statement_timeout: timeoutMs,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: "cody-gateway",
    allowExitOnIdle: true,
  });
  // An idle connection that breaks is replaced when it is needed.
  pool.on("error", () => undefined);
  let made = false;

  /** Who may only insert is given the table as it is: then this fails, and the insert tells whether it is there. */
  async function make(): Promise<void> {
    if (made) return;
    await pool.query(createTable).catch((error: unknown) => {
      if (codeOf(error) !== insufficientPrivilege) throw error;
    });
    made = true;
  }

  return {
    name: "postgres",
    key: targetKey("postgres", whereOf(url)),
    async send(batch) {
      if (batch.length === 0) return;
      await make();
      try {
        await pool.query(insertEvents, columnsOf(batch));
      } catch (error) {
        if (codeOf(error) === undefinedTable) made = false;
        throw isAboutData(error) ? new EventsRefusedError(`Postgres refuses it: ${codeOf(error)}`) : error;
      }
    },
    close: () => pool.end(),
  };
}

const insufficientPrivilege = "42501";
const undefinedTable = "42P01";

/** https://www.postgresql.org/docs/current/errcodes-appendix.html: data exceptions, and constraints that are violated. */
function isAboutData(error: unknown): boolean {
  return /^(22|23)/.test(codeOf(error) ?? "");
}

/** Of errors of the network it is a word. */
function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Host, port and database. */
function whereOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
