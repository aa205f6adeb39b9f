// The data directory: what one process without Redis keeps over a restart.

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
