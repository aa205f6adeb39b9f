import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { startPatience } from "../../src/lib/patience.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("is over after its time, once", async () => {
  let over = 0;
  startPatience(1_000, () => over++);

  await vi.advanceTimersByTimeAsync(999);
  expect(over).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(over).toBe(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(over).toBe(1);
});

it("is never over when it was ended", async () => {
  let over = 0;
  const patience = startPatience(1_000, () => over++);
  await vi.advanceTimersByTimeAsync(900);

  patience.end();
  await vi.advanceTimersByTimeAsync(5_000);

  expect(over).toBe(0);
});

it("outlives a standstill of the process", async () => {
  vi.useRealTimers();
  let over = false;
  const patience = startPatience(200, () => {
    over = true;
  });
  const until = performance.now() + 400;
  while (performance.now() < until);
  await new Promise((resolve) => setImmediate(resolve));

  expect(over).toBe(false);
  patience.end();
});
