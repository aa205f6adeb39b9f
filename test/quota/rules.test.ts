import { describe, expect, it } from "vitest";
import type { FeatureAccess } from "../../src/actors/actor.js";
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
