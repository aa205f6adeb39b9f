import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createBreaker } from "../../src/lib/breaker.js";

describe("a breaker", () => {
  let answers: boolean;
  let probes: number;
  let changes: boolean[];
  beforeEach(() => {
    vi.useFakeTimers();
    answers = false;
    probes = 0;
    changes = [];
  });
  afterEach(() => vi.useRealTimers());

  function make() {
    return createBreaker({
      probe() {
        probes++;
        return answers ? Promise.resolve() : Promise.reject(new Error("not now"));
      },
      onChange: (open) => changes.push(open),
      monotonic: () => performance.now(),
    });
  }
  type Made = ReturnType<typeof make>;
  const fail = (breaker: Made, times: number): void => {
    for (let i = 0; i < times; i++) breaker.failed();
  };
  const succeed = (breaker: Made, times: number): void => {
    for (let i = 0; i < times; i++) breaker.succeeded();
  };

  it("opens after 10 failures in a row, and not after 9", () => {
    const breaker = make();
    fail(breaker, 9);
    expect(breaker.open).toBe(false);
    breaker.failed();
    expect(breaker.open).toBe(true);
    expect(changes).toEqual([true]);
  });

  it("begins to count anew after a success", () => {
    const breaker = make();
    fail(breaker, 9);
    succeed(breaker, 30);
    fail(breaker, 9);
    expect(breaker.open).toBe(false);
  });

  it.each([
    ["half of 20 in a second", 10, 10, 0, true],
    ["fewer than half", 11, 9, 0, false],
    ["half of fewer than 20", 9, 9, 0, false],
    ["half of 20 in more than a second", 10, 10, 1_100, false],
  ])("opens at %s: %i of %i … %j", (_, good, bad, gapMs, open) => {
    const breaker = make();
    // One after the other, so that few are in a row.
    for (let i = 0; i < Math.max(good, bad); i++) {
      if (i < good) breaker.succeeded();
      if (i < bad && i < 9) breaker.failed();
    }
    vi.advanceTimersByTime(gapMs);
    fail(breaker, Math.max(0, bad - 9));
    expect(breaker.open).toBe(open);
  });

  it("forgets what is more than a second ago", () => {
    const breaker = make();
    for (let i = 0; i < 9; i++) {
      breaker.failed();
      breaker.succeeded();
    }
    vi.advanceTimersByTime(1_001);
    for (let i = 0; i < 5; i++) {
      breaker.failed();
      breaker.succeeded();
    }
    expect(breaker.open).toBe(false);
  });

  it("asks every 250 ms while it is open, and closes at the first answer", async () => {
    const breaker = make();
    fail(breaker, 10);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([probes, breaker.open]).toEqual([4, true]);
    answers = true;
    await vi.advanceTimersByTimeAsync(250);
    expect([probes, breaker.open]).toEqual([5, false]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(probes).toBe(5);
    expect(changes).toEqual([true, false]);
  });

  it("asks at once when told that something got better", async () => {
    const breaker = make();
    breaker.hint();
    fail(breaker, 10);
    answers = true;
    breaker.hint();
    await vi.advanceTimersByTimeAsync(0);
    expect([probes, breaker.open]).toEqual([1, false]);
  });

  it("asks one question at a time", async () => {
    let asked = 0;
    const breaker = createBreaker({
      probe() {
        asked++;
        return new Promise(() => undefined);
      },
    });
    fail(breaker, 10);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toBe(1);
  });

  it("is not closed by answers to calls made before it opened", () => {
    const breaker = make();
    fail(breaker, 10);
    succeed(breaker, 100);
    expect(breaker.open).toBe(true);
  });

  it("starts afresh when it closes", async () => {
    const breaker = make();
    fail(breaker, 10);
    answers = true;
    await vi.advanceTimersByTimeAsync(250);
    fail(breaker, 9);
    expect(breaker.open).toBe(false);
    breaker.failed();
    expect(breaker.open).toBe(true);
  });

  it("asks no more once it is stopped", async () => {
    const breaker = make();
    fail(breaker, 10);
    breaker.stop();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(probes).toBe(0);
  });
});
