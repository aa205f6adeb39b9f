import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRetries, type RetryTask } from "../../src/quota/retries.js";
import { useFakeTime } from "./setup.js";

beforeEach(useFakeTime);
afterEach(() => {
  vi.useRealTimers();
});

function task(outcomes: ("fails" | "works")[], overrides: Partial<RetryTask> = {}) {
  const times: number[] = [];
  const run = async (): Promise<void> => {
    times.push(Date.now() - Date.UTC(2026, 0, 1));
    if (outcomes[times.length - 1] !== "works") throw new Error("not yet");
  };
  return { times, run, ...overrides };
}

describe("retries", () => {
  it("come soon, then less often, and at least every second or so", async () => {
    const retries = createRetries();
    const never = task([]);
    retries.add(never);
    await vi.advanceTimersByTimeAsync(10_000);
    const gaps = never.times.map((at, index) => at - (never.times[index - 1] ?? 0));
    expect(gaps[0]).toBeGreaterThanOrEqual(100);
    expect(gaps[0]).toBeLessThanOrEqual(125);
    expect(gaps[1]).toBeGreaterThanOrEqual(200);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1_250);
    expect(never.times.length).toBeLessThan(14);
    void retries.close();
    const { length } = never.times;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(never.times).toHaveLength(length);
  });

  it("try one task until it works, then all", async () => {
    const retries = createRetries();
    const first = task(["fails", "works"]);
    const others = Array.from({ length: 120 }, () => task(["works"]));
    for (const each of [first, ...others]) retries.add(each);
    await vi.advanceTimersByTimeAsync(130);
    expect([first.times.length, others.filter(({ times }) => times.length > 0).length]).toEqual([1, 0]);
    await vi.advanceTimersByTimeAsync(260);
    expect([first.times.length, others.filter(({ times }) => times.length > 0).length]).toEqual([2, 120]);
    expect(retries.size).toBe(0);
  });

  it("are not held up by a task that always fails", async () => {
    const retries = createRetries();
    retries.add(task([]));
    const good = Array.from({ length: 200 }, () => task(["works"]));
    for (const each of good) retries.add(each);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(good.every(({ times }) => times.length === 1)).toBe(true);
  });

  it("try all the others, too, when some of them fail", async () => {
    const retries = createRetries();
    const all = Array.from({ length: 300 }, (_, index) => task(index % 10 === 9 ? [] : ["works"]));
    for (const each of all) retries.add(each);
    await vi.advanceTimersByTimeAsync(130);
    expect(all.map(({ times }) => times.length)).toEqual(all.map(() => 1));
    expect(retries.size).toBe(30);
    void retries.close();
  });

  it("start over soon after they worked", async () => {
    const retries = createRetries();
    retries.add(task(["fails", "fails", "fails", "fails", "works"]));
    await vi.advanceTimersByTimeAsync(6_000);
    const late = task(["works"]);
    retries.add(late);
    await vi.advanceTimersByTimeAsync(130);
    expect(late.times).toHaveLength(1);
  });

  it("end when they are closed, even during an attempt", async () => {
    const retries = createRetries();
    const rejects: ((error: Error) => void)[] = [];
    const run = (): Promise<void> => new Promise((_, reject) => void rejects.push(reject));
    retries.add({ run });
    await vi.advanceTimersByTimeAsync(130);
    void retries.close();
    rejects[0]?.(new Error("not yet"));
    retries.add(task([]));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(rejects).toHaveLength(1);
  });

  it("take minor tasks only while few wait", async () => {
    const retries = createRetries({ maxWaiting: 2 });
    retries.add(task([], { minor: true }));
    retries.add(task([]));
    retries.add(task([], { minor: true }));
    expect(retries.size).toBe(2);
    retries.add(task([]));
    expect(retries.size).toBe(3);
  });

  it("give up what is too old, and say so", async () => {
    const retries = createRetries();
    const onGivenUp = vi.fn<() => void>();
    await vi.advanceTimersByTimeAsync(20_000);
    const old = task([], { maxAgeMs: 5_000, onGivenUp });
    retries.add(old);
    retries.add(task([]));
    await vi.advanceTimersByTimeAsync(8_000);
    expect(onGivenUp).toHaveBeenCalledTimes(1);
    expect(retries.size).toBe(1);
    expect(old.times.at(-1)).toBeGreaterThan(22_000);
    expect(old.times.at(-1)).toBeLessThan(25_000);
  });

  it("try on for a while when they are closed, and tell what is left that is not minor", async () => {
    const retries = createRetries();
    const works = task(["fails", "fails", "works"]);
    retries.add(works);
    retries.add(task([]));
    retries.add(task([], { minor: true }));
    const left = retries.close(2_000);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await left).toBe(1);
    expect(works.times).toHaveLength(3);
  });
});
