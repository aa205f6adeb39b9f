// The commands of docs/operations.md that deliver parked events again.

import { expect, it } from "vitest";
import { openDatabase } from "../../src/lib/database.js";
import { createJournalQuotaStore } from "../../src/quota/journal-store.js";
import { createDatabaseOutbox } from "../../src/usage/database-outbox.js";
import { useOutbox } from "../contract/outbox.js";
import { makeEvent } from "../contract/sink.js";
import { dataDir } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { silentLog } from "../helpers/log.js";
import { startRedis, until } from "../helpers/redis.js";
import { openOutbox, untilRead } from "../helpers/redis-outbox.js";
import { readText } from "./markdown.js";

const text = readText("docs/operations.md");
const parked = ["1", "2"].map((id) => ({ sink: "one", event: makeEvent({ id }), why: "answered 400" }));

it("in Redis", async () => {
  const [, script = "", key = "", outbox = ""] = /redis-cli EVAL "(.*)" 2 '(\S+)' '(\S+)'/.exec(text) ?? [];
  const [, shown] = /redis-cli XRANGE '(\S+)'/.exec(text) ?? [];
  await using server = await startRedis();
  const prefix = "cody-gateway:";
  await using open = openOutbox(server.endpoint, { prefix });
  const { drain } = useOutbox(open.outbox);
  await untilRead(server, prefix);
  for (const each of parked) await open.outbox.park(each);

  expect(await server.client.xlen(shown ?? "")).toBe(2);
  await server.client.eval(script, 2, key, outbox);

  await until(async () => (await open.outbox.stored(), open.outbox.waiting("one") === 2));
  expect(await drain("one")).toEqual(["1", "2"]);
  expect(await server.client.xlen(key)).toBe(0);
});

it("in a data directory", async () => {
  const [, sql = ""] = /sqlite3 gateway\.db "(.*)"/.exec(text) ?? [];
  await using dir = await dataDir();
  const database = await openDatabase(dir.path);
  const store = await createJournalQuotaStore({ clock: fakeClock(), database, log: silentLog });
  const outbox = await createDatabaseOutbox({ database, log: silentLog }, ["one"]);
  const { drain } = useOutbox(outbox);
  for (const each of parked) await outbox.park(each);

  await database.write(sql.split("; ").map((statement) => ({ sql: statement, params: [] })));

  expect(await drain("one")).toEqual(["1", "2"]);
  expect(await database.read("select * from outbox_parked")).toEqual([]);
  await outbox.close();
  await store.close();
  await database.close();
});
