// A process that decides about requests as a gateway does: the public quota on one Redis. Started by `exact-decisions.ts`,
// with its orders as JSON; goes on to the end when it is told to.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { QuotaExceededError, TooManyInFlightError, UnavailableError } from "../../src/errors.js";
import { systemClock } from "../../src/lib/clock.js";
import { connectRedis } from "../../src/lib/redis.js";
import { createQuota, type Hold } from "../../src/quota/quota.js";
import { createRedisQuotaStore } from "../../src/quota/redis-store.js";
import { type DecisionOrders, type DecisionReport, decisionActor } from "./decision-orders.js";

const orders = JSON.parse(process.argv[2] ?? "{}") as DecisionOrders;
const { prefix, limit } = orders;
/** On a machine that is busy, Redis is late as well; when it stops, it does for longer. */
const timeoutMs = 300;
const redis = connectRedis(orders.endpoint, "quota");
const store = createRedisQuotaStore({ redis }, { prefix, timeoutMs });
const seen = { admitted: 0, refused: 0, away: 0, refunded: 0, lost: 0 };
const quota = createQuota({ store, clock: systemClock, onLost: () => seen.lost++ });
const committed = Array.from({ length: orders.actors }, () => 0);
const actors = committed.map((_, index) => decisionActor(index, orders));
const nothing = { tokens: undefined, microdollars: undefined };

/** The hold, or undefined: it was refused, for whatever reason. */
async function decide(index: number): Promise<Hold | undefined> {
  try {
    const hold = await quota.reserve({
      requestId: randomUUID(),
      actor: actors[index] as (typeof actors)[number],
      feature: "chat_completions",
      model: "openai/gpt-4o",
      estimate: () => ({ promptTokens: 1, maxOutputTokens: 1 }),
      intent: "",
    });
    seen.admitted++;
    return hold;
  } catch (error) {
    if (error instanceof UnavailableError) seen.away++;
    else if (error instanceof QuotaExceededError || error instanceof TooManyInFlightError) seen.refused++;
    else throw error;
    return undefined;
  }
}

async function commit(index: number, hold: Hold): Promise<void> {
  committed[index] = (committed[index] ?? 0) + 1;
  await hold.commit(nothing, "");
}

/** Callers that come again at once, whatever they are told; one request in five comes to nothing. */
async function storm(): Promise<void> {
  const decided = (): number => seen.admitted + seen.refused;
  while (decided() < orders.decisions) {
    const index = Math.floor(Math.random() * orders.actors);
    const awayBefore = seen.away;
    const hold = await decide(index);
    if (hold === undefined) {
      if (seen.away > awayBefore) await sleep(10);
      continue;
    }
    if (Math.random() < 0.2) {
      seen.refunded++;
      await hold.refund("");
    } else await commit(index, hold);
  }
}

/** Until nothing is left of any actor's limit, nor held. */
async function takeTheRest(): Promise<void> {
  for (const [index, actor] of actors.entries()) {
    for (;;) {
      const hold = await decide(index);
      if (hold !== undefined) {
        await commit(index, hold);
        continue;
      }
      const states = await quota.limits(actor).catch(() => undefined);
      const [requests] = states?.get("chat_completions") ?? [];
      if (requests !== undefined && requests.used >= limit && requests.held === 0) break;
      await sleep(10);
    }
  }
}

await Promise.all(Array.from({ length: orders.concurrency }, storm));
const goOn = once(process, "message");
process.send?.("stormed");
await goOn;
await takeTheRest();
const untold = await quota.close(10_000);
process.send?.({ ...seen, committed, lost: seen.lost + untold } satisfies DecisionReport);
await store.close();
await redis.close();
process.disconnect();
