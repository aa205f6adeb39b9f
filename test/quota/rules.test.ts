import { describe, expect, it } from "vitest";
import type { EndUser, FeatureAccess } from "../../src/actors/actor.js";
import { limitsFor } from "../../src/quota/rules.js";
import { makeActor, makeLimit } from "../helpers/make-actor.js";

function keysOf(access: Partial<FeatureAccess>): string[] {
  const actor = makeActor({ features: { chat_completions: access } });
  return limitsFor(actor, "chat_completions", "a/b").map(({ key }) => key);
}

// Stores outlive the process: a counter that is called something else starts from 0.
describe("names of counters", () => {
  it("say the feature and the unit, and what else tells limits apart", () => {
    const limits = [
      makeLimit({ windowMs: 1_000 }),
      makeLimit({ windowMs: 60_000 }),
      makeLimit({ windowMs: 5_000, amount: 3 }),
      makeLimit({ windowMs: 1_000, burst: true }),
      makeLimit({ unit: "microdollars" }),
      makeLimit({ models: ["a/*"] }),
    ];
    expect(keysOf({ limits, inFlight: 3 })).toEqual([
      "chat_completions:requests:2",
      "chat_completions:requests",
      "chat_completions:requests:1",
      "chat_completions:microdollars",
      "chat_completions:requests:1787c73dac3ba1b2",
      "chat_completions:requests:burst",
      "chat_completions:in_flight",
    ]);
  });

  it("are short and printable, whatever the models are called", () => {
    const models = ["a/*", "\n}{", "x".repeat(10_000)];
    expect(keysOf({ limits: [makeLimit({ models, burst: true })] })[0]).toMatch(/^[!-~]{1,199}$/);
  });
});

describe("limits of each user", () => {
  const limitsOf = (access: Partial<FeatureAccess>, user?: EndUser) => {
    const actor = makeActor({ features: { chat_completions: access } });
    return limitsFor(actor, "chat_completions", "a/b", user).filter(({ perUser }) => perUser);
  };
  const keyOf = (user?: EndUser) => limitsOf({ perUser: { limits: [makeLimit()] } }, user)[0]?.key;

  it("have a counter for each user", () => {
    expect(keyOf({ id: "1" })).toMatch(/^chat_completions:requests@[\w-]{16}$/);
    expect(keyOf({ id: "1", anonymousId: "2" })).toBe(keyOf({ id: "1" }));
    expect(keyOf({ id: "none", anonymousId: "2" })).toBe(keyOf({ anonymousId: "2" }));
    expect(keyOf({ id: "none" })).toBe(keyOf(undefined));
    const all = [{ id: "1" }, { id: "2" }, { anonymousId: "1" }, { id: "internal" }, { id: "nobody" }, {}].map(keyOf);
    expect(new Set(all).size).toBe(6);
  });

  it("are shares of what the actor has, but not of what it has against bursts", () => {
    const limits = [
      makeLimit({ amount: 10 }),
      makeLimit({ amount: 3, windowMs: 60_000 }),
      makeLimit({ amount: 999, unit: "tokens", models: ["a/*"] }),
      makeLimit({ amount: 50, burst: true }),
    ];
    const share = limitsOf({ limits, inFlight: 9, perUser: { limits: [makeLimit({ amount: 7 })], percentage: 30 } });
    expect(share.map(({ unit, limit }) => [unit, limit])).toEqual([
      ["requests", 7],
      ["requests", 3],
      ["requests", 1],
      ["tokens", 299],
      ["in_flight", 2],
    ]);
    expect(new Set(share.map(({ key }) => key)).size).toBe(5);
    expect(limitsOf({ limits, inFlight: 9, perUser: { limits: [], percentage: 30, inFlight: 5 } }).at(-1)?.limit).toBe(
      5,
    );
  });

  it("are refused access when they are nothing", () => {
    expect(() => limitsOf({ perUser: { limits: [makeLimit({ amount: 0 })] } })).toThrow("no access to feature");
  });
});
