// A process that writes to a database without end, and says what is written: for tests that kill it.

import { openDatabase } from "../../src/lib/database.js";

const [, , dir = ""] = process.argv;
const database = await openDatabase(dir);
await database.migrate("test", ["create table numbers(n integer primary key)"]);
let next = 0;

async function writeOn(): Promise<void> {
  for (;;) {
    const n = next++;
    await database.write([{ sql: "insert into numbers values(?)", params: [n] }]);
    process.send?.(n);
  }
}

await Promise.all(Array.from({ length: 20 }, writeOn));
