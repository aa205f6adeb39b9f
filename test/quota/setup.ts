import { randomUUID } from "node:crypto";
import { onTestFinished, vi } from "vitest";
import type { FeatureAccess, Limit } from "../../src/actors/actor.js";
import { UnavailableError } from "../../src/errors.js";
import { createMemoryQuotaStore } from "../../src/quota/memory-store.js";
import { createQuota, type Decision, type Quota, type QuotaOptions, type QuotaRequest } from "../../src/quota/quota.js";
import type { AbandonedHold, QuotaStore } from "../../src/quota/store.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { makeActor, makeLimit } from "../helpers/make-actor.js";

/** What is wrong with the store: it does nothing, it does everything and answers nothing, or it is always too late. */
export type Fault = "away" | "answers lost" | "late";

/** A quota on a memory store that can be made to fail. */
export function testQuota(options: QuotaOptions = {}, parts: { clock?: ReturnType<typeof fakeClock> } = {}) {
  const clock = parts.clock ?? fakeClock();
  const faulty = faultyStore(createMemoryQuotaStore({ clock }));
  const decisions: Decision[] = [];
  const abandoned: AbandonedHold[] = [];
  const lost: string[] = [];
  const quota = createQuota(
    {
      store: faulty.store,
      clock,
      onDecision: (decision) => decisions.push(decision),
      onAbandoned: (hold) => abandoned.push(hold),
      onLost: (requestId) => lost.push(requestId),
    },
    options,
  );
  onTestFinished(async () => void (await quota.close()));
  return { ...faulty, quota, clock, decisions, abandoned, lost };
}

/** `store`, with its calls counted and, when told, failing. */
export function faultyStore(real: QuotaStore) {
  const calls: string[] = [];
  let fault: Fault | undefined;

  async function call<T>(name: string, run: () => Promise<T>): Promise<T> {
    calls.push(name);
    const current = fault;
    if (current === "late") return { kind: "late" } as T;
    const answer = current === "away" ? undefined : await run();
    if (answer === undefined || current !== undefined) throw away();
    return answer;
  }

  const store: QuotaStore = {
    tellsOutbox: real.tellsOutbox,
    now: () => real.now(),
    reserve: (reservation) => call("reserve", () => real.reserve(reservation)),
    commit: (settlement) => call("commit", () => real.commit(settlement)),
    refund: (settlement) => call("refund", () => real.refund(settlement)),
    renew: (holds) => call("renew", async () => (await real.renew(holds), null)) as unknown as Promise<void>,
    reap: (max) => call("reap", () => real.reap(max)),
    usage: (actor, rules) => call("usage", () => real.usage(actor, rules)),
    reset: (actor, keys) => call("reset", () => real.reset(actor, keys)),
    close: () => real.close(),
  };
  return {
    store,
    calls,
    /** How often the store was asked for this. */
    asked: (name: keyof QuotaStore): number => calls.filter((other) => other === name).length,
    fail: (next: Fault | undefined): void => {
      fault = next;
    },
  };
}

function away(): UnavailableError {
  return new UnavailableError("QUOTA_STORE_UNAVAILABLE", "quota store is away", 1_000);
}

/** A chat request of an actor without limits, where nothing else is said. */
export function makeRequest(overrides: Partial<QuotaRequest> = {}): QuotaRequest {
  return {
    requestId: randomUUID(),
    actor: makeActor(),
    feature: "chat_completions",
    model: "anthropic/claude-sonnet",
    estimate: estimating(100),
    intent: "{}",
    ...overrides,
  };
}

/** What is known of a request before it is sent. */
export function estimating(promptTokens: number, maxOutputTokens?: number): QuotaRequest["estimate"] {
  return () => ({ promptTokens, maxOutputTokens });
}

/** For requests that must not be estimated. */
export function neverEstimate(): never {
  throw new Error("estimated");
}

/** Nothing is known of what was used. */
export const unknown = { tokens: undefined, microdollars: undefined };

/** A request with this access to chat completions. */
export function chat(access: Partial<FeatureAccess>): Partial<QuotaRequest> {
  return { actor: makeActor({ features: { chat_completions: access } }) };
}

/** A request with these limits on chat completions; what is not said is 10 requests a day. */
export function limits(...given: Partial<Limit>[]): Partial<QuotaRequest> {
  return chat({ limits: given.map(makeLimit) });
}

/** How many of `count` requests at once are admitted. They are committed afterwards. */
export async function admitted(quota: Quota, count: number, request: Partial<QuotaRequest>): Promise<number> {
  const answers = await Promise.allSettled(Array.from({ length: count }, () => quota.reserve(makeRequest(request))));
  const holds = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  for (const hold of holds) await hold.commit(unknown, "completed");
  return holds.length;
}

/** Puts time under the test's control, timers included. */
export function useFakeTime(): void {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
    now: Date.UTC(2026, 0, 1),
  });
}
