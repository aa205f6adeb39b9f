// The data directory: what one process without Redis keeps over a restart.

import { randomBytes } from "node:crypto";
import type { Config } from "./config.js";
import { type Database, openDatabase } from "./lib/database.js";
import type { Log } from "./lib/log.js";

/**
 * The database of the data directory; undefined where there is none, or where Redis keeps everything, for this process and
 * others. Rejects with `DatabaseUnusableError`.
 */
export async function openData({ dataDir, redisEndpoint }: Config, log: Log): Promise<Database | undefined> {
  if (dataDir === undefined || redisEndpoint !== undefined) return undefined;
  const database = await openDatabase(dataDir);
  database.onState((failure) => {
    if (failure === undefined) log.info({ dataDir }, "data directory can be written again");
    else log.error({ dataDir, err: failure.cause }, "data directory cannot be written");
  });
  return database;
}

/** The pepper of tokens that is kept in the database, made when there is none. */
export async function loadPepper(database: Database): Promise<string> {
  await database.migrate("secrets", ["create table secrets(name text primary key, value text not null) strict"]);
  const [kept] = await database.read<{ value: string }>("select value from secrets where name = 'token pepper'");
  if (kept !== undefined) return kept.value;
  const made = randomBytes(32).toString("base64url");
  await database.write([{ sql: "insert into secrets values('token pepper', ?)", params: [made] }]);
  return made;
}
