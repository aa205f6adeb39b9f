// A process that makes requests of one actor without end, and says which were admitted and settled: for tests that kill it.

import { randomUUID } from "node:crypto";
import { systemClock } from "../../src/lib/clock.js";
import { openDatabase } from "../../src/lib/database.js";
import { createJournalQuotaStore } from "../../src/quota/journal-store.js";
import { slots, units } from "../contract/quota-store-actor.js";
import { silentLog } from "../helpers/log.js";

export interface ChildReport {
  readonly kind: "admitted" | "committed" | "refunded";
  readonly requestId: string;
}

const [, , dir = ""] = process.argv;
const database = await openDatabase(dir);
const store = await createJournalQuotaStore({ clock: systemClock, database, log: silentLog });

function tell(report: ChildReport): void {
  process.send?.(report);
}

async function request(turn: number): Promise<void> {
  const call = { requestId: randomUUID(), actor: "test:killed", deadlineAt: Infinity };
  const { requestId } = call;
  const { kind } = await store.reserve({ ...call, rules: [units(1_000_000), slots(100)], intent: requestId });
  if (kind !== "admitted") throw new Error(kind);
  tell({ kind, requestId });
  if (turn % 3 === 0) await store.renew([{ ...call, reached: true }]);
  if (turn % 4 === 0) await store.refund({ ...call, outcome: "refunded" });
  else await store.commit({ ...call, used: {}, outcome: "committed" });
  tell({ kind: turn % 4 === 0 ? "refunded" : "committed", requestId });
}

await Promise.all(
  Array.from({ length: 20 }, async () => {
    for (let turn = 0; ; turn++) await request(turn);
  }),
);
