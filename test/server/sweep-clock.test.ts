import { expect, it } from "vitest";
import { createSweepClock } from "../../src/server/sweep-clock.js";

it("follows the system's clock, but not over gaps in which nothing ran", () => {
  let system = 5000;
  const clock = createSweepClock(1000, () => system);
  expect([clock.now(), clock.swept]).toEqual([0, 0]);
  system += 400;
  expect([clock.now(), clock.swept]).toEqual([400, 0]);
  system += 600;
  clock.advance();
  expect([clock.now(), clock.swept, clock.elapsedMs]).toEqual([1000, 1000, 1000]);
  system += 60_000;
  expect(clock.now()).toBe(3000);
  clock.advance();
  expect([clock.now(), clock.swept, clock.elapsedMs]).toEqual([3000, 3000, 60_000]);
  system += 10;
  expect(clock.now()).toBe(3010);
});
