import { describe, expect, it } from "vitest";
import { createFreshness } from "../../src/actors/freshness.js";
import { makeActor } from "../helpers/make-actor.js";
import { scriptedSource } from "../helpers/scripted-source.js";

const minute = 60_000;
const hour = 60 * minute;
const now = Date.UTC(2026, 0, 1);

function ageRules({ maxStaleMs = 24 * hour, cacheTtlMs = 24 * hour, listed = false }) {
  const { list, ...users } = scriptedSource("users", { staleAfterMs: 15 * minute });
  const source = listed ? { ...users, list } : users;
  const directory = { sync: () => undefined };
  const rules = createFreshness(
    { sources: [source], directory, now: () => now },
    { maxStaleMs, cacheTtlMs, syncIntervalMs: 2 * minute },
  );
  return (ageMs: number, name = "users") => {
    const actor = makeActor({ source: name, updatedAt: new Date(now - ageMs) });
    return rules.of({ source: name, id: actor.id, told: actor, actor, tokenHashes: [], overrides: [] });
  };
}

describe("an actor", () => {
  it.each([
    // Of a source that is asked one by one.
    [{}, 13 * minute, "fresh"],
    [{}, 16 * minute, "stale"],
    [{}, 24 * hour, "stale"],
    [{}, 24 * hour + 1, "expired"],
    [{ cacheTtlMs: 5 * minute }, 6 * minute, "stale"],
    // However short the time is for outages, the source is not asked at each request.
    [{ maxStaleMs: 0 }, 13 * minute, "fresh"],
    [{ maxStaleMs: 0 }, 15 * minute, "stale"],
    [{ maxStaleMs: 0 }, 15 * minute + 1, "expired"],
    [{ maxStaleMs: 0, cacheTtlMs: 5 * minute }, 5 * minute + 1, "expired"],
    // Of one that is listed every two minutes.
    [{ listed: true }, 5 * minute, "fresh"],
    [{ listed: true }, 7 * minute, "stale"],
    [{ listed: true }, 24 * hour + 1, "expired"],
    [{ listed: true, maxStaleMs: 0 }, 4 * minute, "fresh"],
    [{ listed: true, maxStaleMs: 0 }, 4 * minute + 1, "expired"],
    [{ listed: true, maxStaleMs: 5 * minute }, 5 * minute + 1, "expired"],
  ] as const)("with %o is, %d ms after it was confirmed, %s", (settings, ageMs, expected) => {
    expect(ageRules(settings)(ageMs)).toBe(expected);
  });

  it("of a source that is configured no longer is served for as long as one that cannot be asked", () => {
    const ageOf = ageRules({});
    expect([ageOf(21 * hour, "gone"), ageOf(24 * hour, "gone"), ageOf(24 * hour + 1, "gone")]).toEqual([
      "fresh",
      "stale",
      "expired",
    ]);
  });
});
