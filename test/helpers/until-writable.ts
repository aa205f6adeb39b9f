import type { Database } from "../../src/lib/database.js";

/** Resolves when the database can be written again, or, told so, when it cannot any more. */
export function untilWritable(database: Database, writable = true): Promise<void> {
  return new Promise((resolve) => {
    const stop = database.onState((failure) => {
      if ((failure === undefined) !== writable) return;
      stop();
      resolve();
    });
  });
}
